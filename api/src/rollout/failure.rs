//! Why a rollout was rolled back, in words.

use common::fleet::{Rollout, RolloutFailure};
use common::ids::WorkerId;

/// Why a rollout was rolled back, as a sentence that names the workers.
pub(crate) fn failure_detail(rollout: &Rollout, failure: &RolloutFailure) -> String {
    let what = format!("rollout {} of model `{}` was rolled back", rollout.generation, rollout.target.name);
    match failure {
        RolloutFailure::Unservable { worker, problems } => {
            format!("{what}: worker `{worker}` found that it cannot be served: {}", problems.join("; "))
        }
        RolloutFailure::WorkerFailed { worker, reason } => {
            format!("{what}: worker `{worker}` could not load it: {reason}")
        }
        RolloutFailure::TimedOut { waiting_for } => {
            let names: Vec<&str> = waiting_for.iter().map(WorkerId::as_str).collect();
            format!("{what}: the time was up before these workers were ready: {}", names.join(", "))
        }
        RolloutFailure::CoordinatorLost => format!("{what}: the process that ran it died, try again"),
        RolloutFailure::Unknown => format!("{what} for a reason that a newer release knows"),
    }
}
