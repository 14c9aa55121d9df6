//! Turns plain error answers of libraries into problem documents.

use std::any::Any;

use axum::extract::Request;
use axum::http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::{ApiError, Code, PROBLEM_JSON};

/// Answers a path without a route.
pub(crate) async fn unknown_route(method: Method, uri: Uri) -> ApiError {
    let path: String = uri.path().chars().take(200).collect();
    ApiError::new(
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
    ApiError::internal(said).into_response()
}

/// Turns every error without a problem document into one, with its headers, and answers `OPTIONS` with the methods of
/// the path.
pub(crate) async fn only_problems(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let path: String = request.uri().path().chars().take(200).collect();
    let response = next.run(request).await;
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) || is_problem(&response) {
        return response;
    }
    let (head, _) = response.into_parts();
    let allow = head.headers.get(ALLOW);
    let mut answer =
        if method == Method::OPTIONS && status == StatusCode::METHOD_NOT_ALLOWED && allow.is_some() {
            StatusCode::NO_CONTENT.into_response()
        } else {
            let mut answer = problem_of(status, &method, &path, allow).into_response();
            *answer.status_mut() = status;
            answer
        };
    for (name, value) in &head.headers {
        if name != CONTENT_TYPE && name != CONTENT_LENGTH {
            answer.headers_mut().append(name, value.clone());
        }
    }
    answer
}

fn problem_of(status: StatusCode, method: &Method, path: &str, allow: Option<&HeaderValue>) -> ApiError {
    let allowed = allow.and_then(|value| value.to_str().ok()).unwrap_or("other methods");
    match status {
        StatusCode::METHOD_NOT_ALLOWED => ApiError::new(
            Code::MethodNotAllowed,
            format!("`{path}` does not take {method}, it takes {allowed}"),
        ),
        StatusCode::NOT_FOUND => ApiError::new(Code::UnknownRoute, format!("there is nothing at `{path}`")),
        other if other.is_client_error() => ApiError::new(
            Code::BadRequest,
            format!("the request `{method} {path}` cannot be understood ({other})"),
        )
        .with("status", other.as_u16().into()),
        other => ApiError::internal(format!("a library answered {other}")),
    }
}

fn is_problem(response: &Response) -> bool {
    response.headers().get(CONTENT_TYPE).is_some_and(|value| value == PROBLEM_JSON)
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::routing::get;
    use tower::ServiceExt;
    use tower_http::catch_panic::CatchPanicLayer;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_500_that_tells_clients_nothing() {
        let dies: fn() -> std::future::Ready<&'static str> = || panic!("secret cause");
        let router = Router::new().route("/", get(dies)).layer(CatchPanicLayer::custom(panicked));
        let response = router.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!((response.status().as_u16(), is_problem(&response)), (500, true));
        let body = to_bytes(response.into_body(), 10_000).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(body.contains("\"internal\"") && !body.contains("secret"), "{body}");
    }
}
