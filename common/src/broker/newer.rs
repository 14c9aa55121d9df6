//! Parts that a newer release wrote and this one cannot read.
//!
//! A newer worker will do them: they go back, to the end of the queue, so that what this worker can do and
//! stands behind them comes first. They never become dead letters.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use crate::messages::{Part, Timestamp, WIRE_VERSION};
use crate::patience::{Backoff, Outage};
use crate::telemetry::names;

/// How long such a part stays in hand before it goes back: hardly at first, since it holds up what waits
/// behind it, and longer while nothing else comes, since it would only go round.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How far past its deadline, by this host's clock, such a part is dropped: hosts' clocks may be some
/// minutes apart, and a part that somebody still waits for must not be lost for it.
const GRACE: Duration = Duration::from_secs(600);

/// What every version of a part says at the same keys.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Header {
    /// Version of the wire format.
    pub(super) wire: u16,
    /// From then on nobody wants the answer.
    pub(super) deadline: Option<Timestamp>,
}

impl Header {
    /// That of a part whose shape this release knows, if a newer one wrote it.
    pub(super) fn of_newer(part: &Part) -> Option<Self> {
        let header = Self { wire: part.wire, deadline: Some(part.deadline) };
        header.is_newer().then_some(header)
    }

    /// Returns whether a newer release wrote it.
    pub(super) fn is_newer(self) -> bool {
        self.wire > WIRE_VERSION
    }

    /// Returns whether nobody waits for it any more, whatever clock set its deadline.
    pub(super) fn is_over(self) -> bool {
        self.deadline.is_some_and(|deadline| Timestamp::now() > deadline.after(GRACE))
    }
}

/// Counts newer parts, and says so now and then.
#[derive(Default)]
pub(super) struct NewerParts {
    log: Mutex<Outage>,
}

impl NewerParts {
    /// One came.
    pub(super) fn count(&self, header: Header) {
        metrics::counter!(names::NEWER_PARTS_TOTAL).increment(1);
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let reason = "parts of a newer release go back to the queue, for workers of that release";
        if let Some(parts) = log.failed(reason, Instant::now()) {
            tracing::warn!(wire = header.wire, reads = WIRE_VERSION, parts, "{reason}");
        }
    }
}

/// The pauses of one consumer, from one part that it can read to the next.
pub(super) fn pauses() -> Backoff {
    Backoff::new(FIRST_PAUSE, LONGEST_PAUSE)
}
