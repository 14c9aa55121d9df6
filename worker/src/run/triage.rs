//! What is to be done with a delivery, decided from the message alone.

use common::messages::{Part, Timestamp, WIRE_VERSION};

/// Deliveries of one part after which it is put aside unseen: it kills its workers before they can try
/// an image. Far above what dying workers cause by themselves, below the broker's own limit.
pub(super) const MAX_ATTEMPTS: u32 = 15;

/// What to do with a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Triage {
    /// Nobody wants the answer any more.
    Expired,
    /// A newer program wrote it; a newer worker must read it.
    TooNew,
    /// It was delivered again and again.
    Hopeless,
    /// It may have killed its worker: alone, and one image at a time.
    Careful,
    /// As fast as it goes.
    Fast,
}

/// Looks at a delivery.
pub(super) fn triage(part: &Part, attempt: u32, now: Timestamp) -> Triage {
    if now >= part.deadline {
        Triage::Expired
    } else if attempt > MAX_ATTEMPTS {
        Triage::Hopeless
    } else if part.wire > WIRE_VERSION {
        Triage::TooNew
    } else if attempt > 1 {
        Triage::Careful
    } else {
        Triage::Fast
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use common::ids::{Generation, JobId, ModelName, ModelVersion};
    use common::messages::{PartId, PinnedModel};

    use super::*;

    #[test]
    fn a_delivery_is_judged_by_its_deadline_its_attempts_and_its_wire_version() {
        let now = Timestamp::now();
        let part = |wire, deadline| Part {
            wire,
            id: PartId { job: JobId::random(), index: 0 },
            model: PinnedModel {
                name: ModelName::parse("m").unwrap(),
                version: ModelVersion::from_digest([0; 32]),
                generation: Generation(1),
            },
            accepted_at: now,
            deadline,
            top_k: 0,
            traceparent: None,
            request_id: None,
            images: Vec::new(),
        };
        let later = now.after(Duration::from_millis(1));
        for (wire, deadline, attempt, expected) in [
            (WIRE_VERSION, later, 1, Triage::Fast),
            (WIRE_VERSION, later, 2, Triage::Careful),
            (WIRE_VERSION, later, MAX_ATTEMPTS, Triage::Careful),
            (WIRE_VERSION, later, MAX_ATTEMPTS + 1, Triage::Hopeless),
            (WIRE_VERSION + 1, later, 1, Triage::TooNew),
            (WIRE_VERSION + 1, later, MAX_ATTEMPTS + 1, Triage::Hopeless),
            (WIRE_VERSION, now, 1, Triage::Expired),
            (WIRE_VERSION + 1, now, MAX_ATTEMPTS + 1, Triage::Expired),
        ] {
            assert_eq!(triage(&part(wire, deadline), attempt, now), expected, "attempt {attempt}");
        }
    }
}
