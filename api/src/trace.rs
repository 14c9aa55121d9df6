//! The ids of a request in logs and traces, here and in the workers.

use common::trace::TraceContext;
use uuid::Uuid;

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
    pub(crate) fn of(request_id: Option<&str>, traceparent: Option<&str>) -> Self {
        let request_id = request_id.filter(|id| is_sound_id(id));
        Self {
            request_id: request_id.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned),
            traceparent: continued(traceparent),
        }
    }

    /// The trace id, 32 hexadecimal digits.
    pub(crate) fn trace_id(&self) -> &str {
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
