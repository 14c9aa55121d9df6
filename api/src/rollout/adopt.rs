//! Adopts a package that was replaced on disk after all workers have restarted: no worker has the pinned bytes, and
//! none can load them.
//!
//! The version on disk is rolled out like any other. Otherwise the fleet would answer nothing until an operator gives
//! the only possible order.

use std::time::Duration;

use common::fleet::{FleetState, Phase, RolloutFailure, WorkerReport, WorkerState};
use common::messages::{PinnedModel, Timestamp};
use common::rollout::Target;
use tokio::time::Instant;

/// How long all workers must report the same version. Longer than a report lasts (4 s), so that each worker has read
/// its disk again, and long enough that a package that is being copied shows another version meanwhile.
const SETTLED: Duration = Duration::from_secs(6);

/// How long a failed adoption is not tried again. An unservable package is not tried again at all.
const REST: Duration = Duration::from_secs(60);

/// Since when the workers report the same version.
#[derive(Debug, Default)]
pub(super) struct Adoption {
    since: Option<(Target, Instant)>,
}

impl Adoption {
    /// Notes the version found at `tick`; returns it once it has been the same for long enough.
    pub(super) fn settled(&mut self, found: Option<Target>, tick: Instant) -> Option<Target> {
        let Some(found) = found else {
            self.since = None;
            return None;
        };
        let since = match &self.since {
            Some((same, since)) if *same == found => *since,
            Some(_) | None => tick,
        };
        self.since = Some((found.clone(), since));
        (tick.duration_since(since) >= SETTLED).then_some(found)
    }
}

/// Returns the version of the active package that every worker found on its disk, if none has the active version and no
/// rollout is running.
pub(super) fn to_adopt(fleet: &FleetState, workers: &[WorkerReport], now: Timestamp) -> Option<Target> {
    let active = fleet.active.as_ref()?;
    let mut online = workers.iter().filter(|worker| worker.state != WorkerState::Stopping).peekable();
    let version = online.peek()?.found.clone()?;
    let all_agree = online.all(|worker| worker.found.as_ref() == Some(&version) && !holds(worker, active));
    let target = Target { name: active.name.clone(), version };
    (all_agree && target.version != active.version && may_be_tried(fleet, &target, now)).then_some(target)
}

fn holds(worker: &WorkerReport, model: &PinnedModel) -> bool {
    worker.loaded.iter().any(|loaded| loaded.name == model.name && loaded.version == model.version)
}

fn may_be_tried(fleet: &FleetState, target: &Target, now: Timestamp) -> bool {
    let Some(last) = &fleet.rollout else { return true };
    let failure = match &last.phase {
        Phase::Preparing | Phase::Converging | Phase::Unknown => return false,
        Phase::Done => return true,
        Phase::RolledBack { failure } => failure,
    };
    if last.target.name != target.name || last.target.version != target.version {
        return true;
    }
    match failure {
        RolloutFailure::Unservable { .. } => false,
        RolloutFailure::WorkerFailed { .. }
        | RolloutFailure::TimedOut { .. }
        | RolloutFailure::CoordinatorLost
        | RolloutFailure::Unknown => now >= last.ended_at.unwrap_or(last.started_at).after(REST),
    }
}
