//! A fleet whose active package was replaced on disk, and whose every worker was started anew since: nobody has the
//! pinned bytes any more, and nobody can load them.
//!
//! The version that is there is rolled out then, like any other. The alternative is a fleet that answers nothing until
//! somebody gives an order that can only be this one.

use std::time::Duration;

use common::fleet::{FleetState, Phase, RolloutFailure, WorkerReport, WorkerState};
use common::messages::{PinnedModel, Timestamp};
use common::rollout::Target;
use tokio::time::Instant;

/// How long every worker must have told the same. Longer than a worker's report lasts (4 s), so that each has looked
/// anew, and long enough that a package that is being copied shows another version meanwhile.
const SETTLED: Duration = Duration::from_secs(6);

/// How long such a rollout that failed is not tried again. One that was unservable is not tried at all.
const REST: Duration = Duration::from_secs(60);

/// Since when the workers tell of the same version.
#[derive(Debug, Default)]
pub(super) struct Adoption {
    since: Option<(Target, Instant)>,
}

impl Adoption {
    /// Notes what was found at `tick`; returns it once it has been the same for long enough.
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

/// The version of the active package that every worker found on its disk, where none has the active one and nothing is
/// being rolled out.
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
