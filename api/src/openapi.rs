//! The OpenAPI description and the documentation pages, which work offline.

mod completion;
mod examples;
mod redoc;
mod swagger;

use std::sync::Arc;

use axum::extract::Extension;
use axum::response::Html;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{Components, InfoBuilder, License, OpenApi, OpenApiBuilder};
use utoipa::{PartialSchema, ToSchema};

use crate::failure::Code;
use crate::prefix::Prefix;
use crate::wire::problem::Problem;

const DESCRIPTION: &str = "Keras image classifiers behind a REST API.\n\nSend images to \
`POST /classifier/predictions` and get a label and a score for each. One call, \
`PUT /classifier/prediction-service/{model_name}`, swaps the model of the whole fleet without failing or \
delaying a request. Every route under `/classifier` needs the header `X-API-Key`. Errors are \
`application/problem+json`; their `code` is stable.";

/// The document without the routes.
pub(crate) fn document() -> OpenApi {
    let mut components = Components::new();
    components.add_security_scheme(
        "api_key",
        SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
            "X-API-Key",
            "A key from X_API_KEY, or from X_ADMIN_API_KEY to change the fleet where that is set",
        ))),
    );
    components.schemas.insert(Problem::name().to_string(), Problem::schema());
    let tag = |name: &str, description: &str| {
        TagBuilder::new().name(name).description(Some(description.to_owned())).build()
    };
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Image classification service")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(DESCRIPTION))
                .license(Some(License::new("Apache-2.0")))
                .build(),
        )
        .tags(Some([
            tag("predictions", "Classifying images, at once or later"),
            tag("fleet", "The model of the fleet, its workers, and dead letters"),
            tag("operations", "Health and metrics; no key needed"),
        ]))
        .components(Some(components))
        .security(Some([SecurityRequirement::new("api_key", [] as [&str; 0])]))
        .build()
}

/// `/openapi.json`, `/docs` and `/redoc`.
pub(crate) fn pages(document: OpenApi) -> Router {
    let mut value = serde_json::to_value(&document).unwrap_or_else(|_| json!({}));
    completion::complete(&mut value);
    let page: Arc<str> = redoc::page(&value, Code::ALL).into();
    let document = Arc::new(value);
    let described = move |Extension(prefix): Extension<Prefix>| std::future::ready(at(&document, &prefix));
    Router::new()
        .merge(swagger::pages())
        .route("/openapi.json", get(described))
        .route("/redoc", get(move || std::future::ready(Html(page.to_string()))))
}

/// Returns the description with the address at which a client reaches the API.
fn at(document: &Value, prefix: &Prefix) -> Json<Value> {
    let mut here = document.clone();
    here["servers"] = json!([{"url": prefix.root()}]);
    Json(here)
}
