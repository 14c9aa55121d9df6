//! Tells a dead coordinator from one whose clock differs.

use std::time::Instant;

use crate::fleet::FleetState;
use crate::ids::Revision;
use crate::messages::Timestamp;
use crate::rollout::is_orphaned;
use crate::store::Revised;

/// Watches the document for signs of life of the rollout's coordinator.
///
/// The lease is a moment on the coordinator's clock. A bystander whose clock is ahead would consider every coordinator
/// dead, so it also waits until it has seen the document unchanged for the length of the lease.
#[derive(Debug, Default)]
pub struct LeaseWatch {
    seen: Option<(Revision, Instant)>,
}

impl LeaseWatch {
    /// Notes the document read at `tick`, and returns whether its rollout is abandoned.
    pub fn is_orphaned(&mut self, fleet: &Revised<FleetState>, now: Timestamp, tick: Instant) -> bool {
        let since = match self.seen {
            Some((revision, since)) if revision == fleet.revision => since,
            Some(_) | None => tick,
        };
        self.seen = Some((fleet.revision, since));
        let lease = fleet.value.rollout.as_ref().map(|rollout| rollout.timing.lease);
        is_orphaned(&fleet.value, now) && lease.is_some_and(|lease| tick.duration_since(since) >= lease)
    }
}
