//! The routes and their middleware.

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::{Router, middleware};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::{auth, body, door, fleet, guard, models, observe, openapi, ops, predict, prefix};

/// Builds the whole API.
pub(crate) fn router(app: &Arc<App>) -> Router {
    let with_key = OpenApiRouter::new()
        .routes(routes!(predict::create))
        .routes(routes!(predict::read, predict::delete))
        .routes(routes!(fleet::swap))
        .routes(routes!(fleet::overview::fleet))
        .routes(routes!(fleet::overview::rollout))
        .routes(routes!(fleet::rollback))
        .routes(routes!(fleet::dead_letters::list, fleet::dead_letters::drop_letters))
        .routes(routes!(fleet::dead_letters::replay))
        .routes(routes!(models::list))
        .route_layer(middleware::from_fn_with_state(Arc::clone(app), auth::require_key));
    let open = OpenApiRouter::new()
        .routes(routes!(ops::live))
        .routes(routes!(ops::ready::ready))
        .routes(routes!(ops::metrics));
    let (router, document) =
        OpenApiRouter::with_openapi(openapi::document()).merge(with_key).merge(open).split_for_parts();
    let router = router
        .with_state(Arc::clone(app))
        .merge(openapi::pages(document))
        .fallback(door::unknown_route)
        // Bodies are limited where they are received; axum's own limit would be 2 MB.
        .layer(DefaultBodyLimit::disable())
        // The last one added is the outermost.
        .layer(CatchPanicLayer::custom(door::panicked))
        .layer(middleware::from_fn_with_state(door::REST, door::failures))
        .layer(middleware::from_fn(body::drain_unread))
        .layer(middleware::from_fn(observe::observe));
    // An outer router: the `Allow` of a 405 is added outside of the layers above.
    Router::new()
        .fallback_service(router)
        .layer(middleware::from_fn_with_state(door::REST, door::errors_of_libraries))
        .layer(middleware::from_fn(guard::guard))
        .layer(middleware::from_fn_with_state(app.config.path_prefix.clone(), prefix::follow))
}
