//! Decides from the message alone what to do with a delivery.

use common::messages::{Part, Timestamp};

/// What to do with a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Triage {
    /// It is not wanted any more.
    Expired,
    /// It may have killed its worker: run it alone, one image at a time.
    Careful,
    /// Run it on the fast path.
    Fast,
}

/// Decides on a delivery, given the time of the store's clock.
pub(super) fn triage(part: &Part, attempt: u32, now: Timestamp) -> Triage {
    if now >= part.deadline {
        Triage::Expired
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
    use common::messages::{PartId, Payload, PinnedModel, WIRE_VERSION};

    use super::*;

    #[test]
    fn a_delivery_is_judged_by_its_deadline_and_whether_it_is_the_first() {
        let now = Timestamp(1_000_000);
        let part = |deadline| Part {
            wire: WIRE_VERSION,
            id: PartId { job: JobId::random(), index: 0 },
            model: PinnedModel {
                name: ModelName::parse("m").unwrap(),
                version: ModelVersion::from_digest([0; 32]),
                generation: Generation(1),
            },
            accepted_at: now,
            deadline,
            top_k: None,
            traceparent: None,
            request_id: None,
            client: None,
            payload: Payload::Images(Vec::new()),
        };
        let later = now.after(Duration::from_millis(1));
        for (deadline, attempt, expected) in [
            (later, 1, Triage::Fast),
            (later, 2, Triage::Careful),
            (later, u32::MAX, Triage::Careful),
            (now, 1, Triage::Expired),
            (now, 2, Triage::Expired),
        ] {
            assert_eq!(triage(&part(deadline), attempt, now), expected, "attempt {attempt}");
        }
    }
}
