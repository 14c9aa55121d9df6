//! Request id, trace context, access log and metrics of every request.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use common::telemetry::api_names;
use tracing::Instrument;

use crate::trace::Trace;

/// The header with the request id, in requests and answers.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// W3C trace context.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Gives every request its [`Trace`], logs it and counts it.
pub(crate) async fn observe(mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let trace = trace_of(request.headers());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("unknown", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!(
        "request",
        %method,
        route,
        request_id = trace.request_id,
        trace_id = trace.trace_id(),
    );
    request.extensions_mut().insert(trace.clone());
    let mut response = next.run(request).instrument(span.clone()).await;
    if let Ok(id) = HeaderValue::from_str(&trace.request_id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    let seconds = begun.elapsed().as_secs_f64();
    record(&method, route, response.status(), seconds);
    let status = response.status().as_u16();
    span.in_scope(|| {
        // Servers out of reach are logged by their own code, not per request.
        if response.status().is_server_error() && response.status() != StatusCode::SERVICE_UNAVAILABLE {
            tracing::warn!(status, seconds, "answered with a server error");
        } else {
            tracing::debug!(status, seconds, "answered");
        }
    });
    response
}

/// Reads the client's ids.
fn trace_of(headers: &HeaderMap) -> Trace {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    Trace::of(text(&REQUEST_ID), text(&TRACEPARENT))
}

fn record(method: &Method, route: String, status: StatusCode, seconds: f64) {
    // Unknown methods share one label value: a client must not create labels.
    let method = match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    };
    metrics::counter!(
        api_names::HTTP_REQUESTS,
        "route" => route.clone(), "method" => method, "status" => status.as_u16().to_string()
    )
    .increment(1);
    metrics::histogram!(api_names::HTTP_REQUEST_SECONDS, "route" => route, "method" => method)
        .record(seconds);
}
