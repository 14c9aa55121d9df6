//! Request id, trace context, access log and metrics of every request.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use common::telemetry::api_names;
use common::trace::TraceContext;
use tracing::Instrument;
use uuid::Uuid;

/// The header with the request id, in requests and answers.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// W3C trace context.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Longest request id that is accepted from a client.
const MAX_REQUEST_ID: usize = 128;

/// Ids of a request in logs and traces, here and in the workers.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    /// The request's id: the client's, or a new one.
    pub request_id: String,
    /// The trace context of this service's span.
    pub traceparent: String,
}

impl Trace {
    /// Takes the client's ids if they are valid.
    fn of(headers: &HeaderMap) -> Self {
        let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let request_id = text(&REQUEST_ID).filter(|id| is_sound_id(id));
        Self {
            request_id: request_id.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned),
            traceparent: continued(text(&TRACEPARENT)),
        }
    }

    /// The trace id, 32 hexadecimal digits.
    fn trace_id(&self) -> &str {
        self.traceparent.split('-').nth(1).unwrap_or_default()
    }
}

/// Returns whether an id is safe in a log line.
fn is_sound_id(id: &str) -> bool {
    let sound =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':' | b'/' | b'+' | b'=');
    !id.is_empty() && id.len() <= MAX_REQUEST_ID && id.bytes().all(sound)
}

/// Creates a trace context with a new span: in the client's trace if it sent a valid one, else in a new trace.
fn continued(client: Option<&str>) -> String {
    let span = &Uuid::new_v4().simple().to_string()[..16];
    match client.and_then(TraceContext::parse) {
        Some(TraceContext { trace_id, flags }) => format!("00-{trace_id}-{span}-{flags}"),
        None => format!("00-{}-{span}-01", Uuid::new_v4().simple()),
    }
}

/// Gives every request its [`Trace`], logs it and counts it.
pub(crate) async fn observe(mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let trace = Trace::of(request.headers());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valid_trace_is_continued_under_a_new_span() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        let ours = continued(Some(parent));
        assert!(ours.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && ours.ends_with("-00"), "{ours}");
        assert!(!ours.contains("b7ad6b7169203331"));
        assert_eq!(ours.len(), parent.len());
    }

    #[test]
    fn an_invalid_trace_is_replaced_by_a_new_one() {
        for bad in [
            "",
            "00",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        ] {
            let ours = continued(Some(bad));
            assert!(TraceContext::parse(&ours).is_some(), "{ours}");
            assert!(!ours.contains("0af7651916cd43dd8448eb211c80319c"), "{bad}");
        }
    }

    #[test]
    fn only_ids_that_can_stand_in_a_log_line_are_taken_over() {
        assert!(is_sound_id("req-1_a.b:c/d+e="));
        for bad in ["", "a b", "a\nb", "a\"b", "ä", &"x".repeat(129)] {
            assert!(!is_sound_id(bad), "{bad:?}");
        }
    }
}
