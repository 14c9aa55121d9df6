//! Swagger UI, for trying the API out. All its addresses are relative, so that it works under any prefix.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, LOCATION};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use utoipa_swagger_ui::Config;

use crate::failure::Failure;

const PAGE: &str = include_str!("swagger.html");

/// `/docs/` and its resources.
pub(super) fn pages() -> Router {
    // The validator's badge would be loaded from elsewhere.
    let config = Config::from("../openapi.json")
        .try_it_out_enabled(true)
        .persist_authorization(true)
        .validator_url("none");
    let config = Arc::new(config);
    let file = move |Path(path): Path<String>| std::future::ready(file(&path, Arc::clone(&config)));
    Router::new()
        // A relative address works under any prefix.
        .route("/docs", get(|| std::future::ready((StatusCode::SEE_OTHER, [(LOCATION, "docs/")]))))
        .route("/docs/", get(|| std::future::ready(Html(PAGE))))
        .route("/docs/{*file}", get(file))
}

fn file(path: &str, config: Arc<Config<'static>>) -> Response {
    if path == "index.html" {
        return Html(PAGE).into_response();
    }
    match utoipa_swagger_ui::serve(path, config) {
        Ok(Some(file)) => {
            let mut response = Response::builder().header(CONTENT_TYPE, file.content_type);
            if file.gzpipped {
                response = response.header(CONTENT_ENCODING, "gzip");
            }
            let response = response.body(Body::from(file.bytes.into_owned()));
            response.unwrap_or_else(|error| Failure::internal(error).into_response())
        }
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => Failure::internal(error).into_response(),
    }
}
