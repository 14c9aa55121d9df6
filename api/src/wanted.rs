//! Whether a model is active, and if not, whether one is expected.

use common::fleet::{FleetState, Phase, Rollout};
use common::ids::ModelName;
use common::messages::Timestamp;

use crate::rollout::failure_detail;

/// The state of the default model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// It is active.
    Active,
    /// It was declared at the start or chosen by a call, and is not active yet for this reason.
    Pending(String),
    /// No model was chosen.
    Nothing,
}

/// Returns the state, given the model that was declared at the start of the process.
pub(crate) fn wanted(declared: Option<&ModelName>, fleet: &FleetState, now: Timestamp) -> Wanted {
    if fleet.active.is_some() {
        return Wanted::Active;
    }
    let last = fleet.rollout.as_ref();
    match (last, declared) {
        (Some(rollout), _) if !rollout.is_ended() => Wanted::Pending(loading(rollout, now)),
        (Some(rollout), Some(name)) => Wanted::Pending(ended(rollout, name)),
        (None, Some(name)) => {
            Wanted::Pending(format!("model `{name}` is declared, its loading has not begun yet"))
        }
        (Some(_) | None, None) => Wanted::Nothing,
    }
}

fn loading(rollout: &Rollout, now: Timestamp) -> String {
    let seconds = now.since(rollout.started_at).as_secs();
    format!("model `{}` is loading, for {seconds} s by now", rollout.target.name)
}

fn ended(rollout: &Rollout, name: &ModelName) -> String {
    match &rollout.phase {
        Phase::RolledBack { failure } => {
            format!("model `{name}` is declared and not active: {}", failure_detail(rollout, failure))
        }
        Phase::Preparing | Phase::Converging | Phase::Done | Phase::Unknown => {
            format!("model `{name}` is declared and not active")
        }
    }
}
