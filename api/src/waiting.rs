//! How long a client wants to wait: `Prefer` (RFC 7240) and `?wait=N`.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};

/// The preferences that were applied (RFC 7240).
pub(crate) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The client's `Prefer` header.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Preference {
    /// `respond-async`: answer at once, unless a time is given as well.
    pub respond_async: bool,
    /// `wait=N`.
    pub wait: Option<Duration>,
}

/// How long to wait, and the header that tells the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// How long.
    pub limit: Duration,
    /// The value of `Preference-Applied`.
    pub applied: String,
}

impl Preference {
    /// Reads all `Prefer` headers. The first of several values counts, and invalid ones are ignored, as the RFC
    /// requires.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut preference = Self::default();
        for item in
            headers.get_all("prefer").iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','))
        {
            let item = item.split(';').next().unwrap_or_default();
            let (name, value) = item.split_once('=').unwrap_or((item, ""));
            let value = value.trim().trim_matches('"');
            if name.trim().eq_ignore_ascii_case("respond-async") {
                preference.respond_async = true;
            } else if name.trim().eq_ignore_ascii_case("wait") && preference.wait.is_none() {
                preference.wait = value.parse().ok().map(Duration::from_secs);
            }
        }
        preference
    }

    /// Returns the time to wait, at most `cap`; `default` if the client does not say.
    pub(crate) fn waiting(self, default: Duration, cap: Duration) -> Waiting {
        match (self.wait, self.respond_async) {
            (Some(wait), _) => Waiting::of(wait.min(cap)),
            (None, true) => Waiting { limit: Duration::ZERO, applied: "respond-async".to_owned() },
            (None, false) => Waiting::of(default.min(cap)),
        }
    }
}

impl Waiting {
    /// Waits this long.
    pub(crate) fn of(limit: Duration) -> Self {
        Self { limit, applied: format!("wait={}", limit.as_secs()) }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn check(headers: &[&str], respond_async: bool, wait: Option<u64>) {
        let mut map = HeaderMap::new();
        for header in headers {
            map.append("prefer", HeaderValue::from_str(header).unwrap());
        }
        let expected = Preference { respond_async, wait: wait.map(Duration::from_secs) };
        assert_eq!(Preference::of(&map), expected, "{headers:?}");
    }

    #[test]
    fn preferences_come_in_lists_and_in_several_headers() {
        check(&[], false, None);
        check(&["respond-async"], true, None);
        check(&["Respond-Async, WAIT=10"], true, Some(10));
        check(&["handling=lenient; x=1", "wait = \"5\"; why"], false, Some(5));
        check(&["wait=3, wait=9"], false, Some(3));
        check(&["wait=soon, wait", "respond-asynchronously"], false, None);
        check(&["wait=-1"], false, None);
        check(&["wait=99999999999999999999"], false, None);
    }

    #[test]
    fn the_time_is_capped_and_told() {
        let (default, cap) = (Duration::from_secs(30), Duration::from_secs(60));
        let wait = |seconds| Preference { respond_async: true, wait: Some(Duration::from_secs(seconds)) };
        assert_eq!(wait(5).waiting(default, cap).applied, "wait=5");
        assert_eq!(wait(500).waiting(default, cap), Waiting::of(cap));
        assert_eq!(Preference::default().waiting(default, cap).limit, default);
        let at_once = Preference { respond_async: true, wait: None }.waiting(default, cap);
        assert_eq!((at_once.limit, at_once.applied.as_str()), (Duration::ZERO, "respond-async"));
    }
}
