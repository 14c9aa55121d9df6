//! Reports failing servers: to the log at intervals, and to clients without credentials.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Interval between two log lines about one server: an outage of ten minutes takes 20 lines.
const PAUSE: Duration = Duration::from_secs(30);

/// A rate-limited log line.
pub(super) struct Seldom {
    what: &'static str,
    state: Mutex<State>,
}

struct State {
    written: Option<Instant>,
    /// How often it was suppressed since then.
    kept_back: u64,
}

impl Seldom {
    /// Creates the line with this text.
    pub(super) const fn of(what: &'static str) -> Self {
        Self { what, state: Mutex::new(State { written: None, kept_back: 0 }) }
    }

    /// Writes the line, or counts it as suppressed.
    pub(super) fn say(&self, error: &dyn Display) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.written.is_some_and(|moment| moment.elapsed() < PAUSE) {
            state.kept_back += 1;
            tracing::debug!(%error, "{}", self.what);
        } else {
            let like_it = std::mem::take(&mut state.kept_back);
            state.written = Some(Instant::now());
            tracing::warn!(%error, since_last_line = like_it, "{}", self.what);
        }
    }
}

/// Removes user and password from every address in the text.
pub(crate) fn without_credentials(text: &str) -> String {
    let mut told = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let (before, after) = rest.split_at(start + 3);
        let end = after
            .find(|c: char| c.is_whitespace() || matches!(c, '/' | '"' | '`' | '\''))
            .unwrap_or(after.len());
        let (authority, after) = after.split_at(end);
        told += before;
        told += authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        rest = after;
    }
    told + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_without_user_and_password() {
        for (text, told) in [
            ("no address", "no address"),
            ("amqp://me:secret@rabbit:5672/%2f: refused", "amqp://rabbit:5672/%2f: refused"),
            ("`redis://:p@ss@host` and amqp://a@b", "`redis://host` and amqp://b"),
            ("http://host/x@y", "http://host/x@y"),
        ] {
            assert_eq!(without_credentials(text), told);
        }
    }
}
