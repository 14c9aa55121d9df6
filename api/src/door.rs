//! A door is a protocol in which clients call the service, with its own way to render a [`Failure`].
//!
//! Handlers, extractors and middleware hand a failure over as it is. The layer of the door that the request came through
//! renders it. What libraries answer by themselves becomes a failure first.

use std::any::Any;

use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::failure::{Code, Failure};
use crate::problem;

/// How a door renders a failure, with the status that a library chose, if one did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Door(fn(Failure, Option<StatusCode>) -> Response);

/// The REST API.
pub(crate) const REST: Door = Door(problem::render);

/// Marks an answer as rendered by a door.
#[derive(Debug, Clone, Copy)]
struct Rendered;

/// The failure on its way to the layer of its door.
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl Door {
    /// Renders a failure, with the headers that the answer has already.
    fn render(self, failure: Failure, chosen: Option<StatusCode>, headers: &HeaderMap) -> Response {
        let Self(render) = self;
        let mut response = render(failure, chosen);
        response.extensions_mut().insert(Rendered);
        with_headers(response, headers)
    }
}

/// Renders the failures of a door's routes.
pub(crate) async fn failures(State(door): State<Door>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    match response.extensions_mut().remove::<Failure>() {
        Some(failure) => door.render(failure, None, response.headers()),
        None => response,
    }
}

/// Renders the errors that libraries answer by themselves, and answers `OPTIONS` with the methods of the path.
pub(crate) async fn errors_of_libraries(State(door): State<Door>, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let path: String = request.uri().path().chars().take(200).collect();
    let response = next.run(request).await;
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    if !is_error || response.extensions().get::<Rendered>().is_some() {
        return response;
    }
    let headers = response.headers();
    let allow = headers.get(ALLOW);
    if method == Method::OPTIONS && status == StatusCode::METHOD_NOT_ALLOWED && allow.is_some() {
        return with_headers(StatusCode::NO_CONTENT.into_response(), headers);
    }
    door.render(failure_of(status, &method, &path, allow), Some(status), headers)
}

/// Adds all headers of another answer but those of its body.
fn with_headers(mut response: Response, headers: &HeaderMap) -> Response {
    for (name, value) in headers {
        if name != CONTENT_TYPE && name != CONTENT_LENGTH {
            response.headers_mut().append(name, value.clone());
        }
    }
    response
}

fn failure_of(status: StatusCode, method: &Method, path: &str, allow: Option<&HeaderValue>) -> Failure {
    let allowed = allow.and_then(|value| value.to_str().ok()).unwrap_or("other methods");
    match status {
        StatusCode::METHOD_NOT_ALLOWED => Failure::new(
            Code::MethodNotAllowed,
            format!("`{path}` does not take {method}, it takes {allowed}"),
        ),
        StatusCode::NOT_FOUND => Failure::new(Code::UnknownRoute, format!("there is nothing at `{path}`")),
        other if other.is_client_error() => Failure::new(
            Code::BadRequest,
            format!("the request `{method} {path}` cannot be understood ({other})"),
        ),
        other => Failure::internal(format!("a library answered {other}")),
    }
}

/// Answers a path without a route.
pub(crate) async fn unknown_route(method: Method, uri: Uri) -> Failure {
    let path: String = uri.path().chars().take(200).collect();
    Failure::new(
        Code::UnknownRoute,
        format!("there is no route `{method} {path}`, /openapi.json lists all of them"),
    )
}

/// Answers for a handler that panicked.
pub(crate) fn panicked(cause: Box<dyn Any + Send + 'static>) -> Response {
    let said = cause
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| cause.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned());
    Failure::internal(said).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::routing::get;
    use axum::{Router, middleware};
    use tower::ServiceExt;
    use tower_http::catch_panic::CatchPanicLayer;

    use super::*;

    /// Returns the status and the body of a request through a door.
    async fn answer(router: Router, door: Door) -> (u16, String) {
        let router = router
            .layer(middleware::from_fn_with_state(door, failures))
            .layer(middleware::from_fn_with_state(REST, failures))
            .layer(middleware::from_fn_with_state(REST, errors_of_libraries));
        let response = router.oneshot(Request::new(Body::empty())).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 10_000).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_panic_is_a_500_that_tells_clients_nothing() {
        let dies: fn() -> std::future::Ready<&'static str> = || panic!("secret cause");
        let router = Router::new().route("/", get(dies)).layer(CatchPanicLayer::custom(panicked));
        let (status, body) = answer(router, REST).await;
        assert_eq!(status, 500);
        assert!(body.contains("\"code\":\"internal\"") && !body.contains("secret"), "{body}");
    }

    #[tokio::test]
    async fn a_failure_is_rendered_by_the_door_that_was_used_and_by_no_other() {
        let terse =
            Door(|failure, _| (StatusCode::IM_A_TEAPOT, failure.code.name().to_uppercase()).into_response());
        let fails = || std::future::ready(Failure::new(Code::QueueFull, "the queue is full"));
        let router = || Router::new().route("/", get(fails));
        assert_eq!(answer(router(), terse).await, (418, "QUEUE_FULL".to_owned()));
        let (status, body) = answer(router(), REST).await;
        assert_eq!(status, 429);
        assert!(body.contains("\"detail\":\"the queue is full\""), "{body}");
    }
}
