//! Parts that a newer release wrote and this one cannot read.
//!
//! They go back to the end of the queue for a newer worker, so that this worker can first do the readable parts behind
//! them. They never become dead letters.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use crate::messages::{Part, Timestamp, WIRE_VERSION};
use crate::patience::{Backoff, Outage};
use crate::telemetry::names;

/// How long such a part is held before it goes back: short at first, since it blocks parts behind it, and longer while
/// only such parts come, since they would circulate.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How far past its deadline, by this host's clock, such a part is dropped: hosts' clocks may differ by some minutes,
/// and no part may be lost while a client waits for it.
const GRACE: Duration = Duration::from_secs(600);

/// The fields that every version of a part has at the same keys.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Header {
    /// Version of the wire format.
    pub(super) wire: u16,
    /// After this no client waits for the answer.
    pub(super) deadline: Option<Timestamp>,
}

impl Header {
    /// Returns these fields of a part whose shape this release can read, if a newer release wrote it.
    pub(super) fn of_newer(part: &Part) -> Option<Self> {
        let header = Self { wire: part.wire, deadline: Some(part.deadline) };
        header.is_newer().then_some(header)
    }

    /// Returns whether a newer release wrote it.
    pub(super) fn is_newer(self) -> bool {
        self.wire > WIRE_VERSION
    }

    /// Returns whether it has expired, whatever clock set its deadline.
    pub(super) fn is_over(self) -> bool {
        self.deadline.is_some_and(|deadline| Timestamp::now() > deadline.after(GRACE))
    }
}

/// Counts newer parts, and logs them at intervals.
#[derive(Default)]
pub(super) struct NewerParts {
    log: Mutex<Outage>,
}

impl NewerParts {
    /// Counts one part.
    pub(super) fn count(&self, header: Header) {
        metrics::counter!(names::NEWER_PARTS_TOTAL).increment(1);
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let reason = "parts of a newer release go back to the queue, for workers of that release";
        if let Some(parts) = log.failed(reason, Instant::now()) {
            tracing::warn!(wire = header.wire, reads = WIRE_VERSION, parts, "{reason}");
        }
    }
}

/// The pauses of one consumer, reset by each readable part.
pub(super) fn pauses() -> Backoff {
    Backoff::new(FIRST_PAUSE, LONGEST_PAUSE)
}
