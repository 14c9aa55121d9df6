//! Decides what the worker loads and whether it takes jobs, from the fleet's wanted state; loads nothing itself.

use common::fleet::{FleetState, Phase, Preparation, PreparationState, Rollout, WorkerState};
use common::ids::{Generation, ModelVersion, RolloutId};
use common::messages::PinnedModel;
use common::patience::Backoff;
use tokio::time::Instant;

use super::ControlTiming;
use crate::models::ModelsError;

/// The worker's state in the fleet.
pub(super) struct Duty {
    timing: ControlTiming,
    /// The generation that it serves.
    generation: Option<Generation>,
    ready: bool,
    active: Option<Effort>,
    preparation: Option<Preparation>,
    /// Whether the fleet has counted this worker without a gap since it last admitted jobs.
    member: bool,
}

/// Attempts to load the active model.
struct Effort {
    model: PinnedModel,
    problem: Option<String>,
    /// The version on disk instead of the wanted one.
    found: Option<ModelVersion>,
    /// When to try next; `None` during a load.
    next: Option<Instant>,
    pauses: Backoff,
}

/// A load to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) model: PinnedModel,
    pub(super) purpose: Purpose,
    /// The rollout that it prepares for.
    pub(super) rollout: Option<RolloutId>,
}

/// Why a model is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Active,
    Preparation,
}

/// The parts of a report that other processes decide by; a change is announced at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) state: WorkerState,
    pub(super) generation: Option<Generation>,
    pub(super) preparation: Option<Preparation>,
    pub(super) problem: Option<String>,
    pub(super) found: Option<ModelVersion>,
}

impl Duty {
    pub(super) fn new(timing: ControlTiming) -> Self {
        Self { timing, generation: None, ready: false, active: None, preparation: None, member: false }
    }

    pub(super) fn facts(&self, stopping: bool) -> Facts {
        let state = match (stopping, self.ready) {
            (true, _) => WorkerState::Stopping,
            (false, true) => WorkerState::Ready,
            (false, false) => WorkerState::Starting,
        };
        Facts {
            state,
            generation: self.generation,
            preparation: self.preparation.clone(),
            problem: self.unloaded().map(Effort::told),
            found: self.unloaded().and_then(|effort| effort.found.clone()),
        }
    }

    /// Returns why no jobs may be taken.
    pub(super) fn obstacle(&self) -> String {
        match self.unloaded() {
            Some(effort) => effort.told(),
            None if self.ready => {
                "preparing for the running rollout before the first job is taken".to_owned()
            }
            None => "starting".to_owned(),
        }
    }

    /// Returns the active model, while it is not in memory.
    fn unloaded(&self) -> Option<&Effort> {
        self.active.as_ref().filter(|_| !self.ready)
    }

    /// Notes the fleet's state and returns the loads to begin.
    pub(super) fn follow(&mut self, fleet: &FleetState, holds: impl Fn(&PinnedModel) -> bool) -> Vec<Load> {
        let mut loads = Vec::new();
        loads.extend(self.follow_active(fleet.active.as_ref(), &holds));
        loads.extend(self.follow_rollout(preparing(fleet), &holds));
        loads
    }

    /// Notes the end of a load.
    pub(super) fn ended(&mut self, load: &Load, result: &Result<(), ModelsError>) {
        match load.purpose {
            Purpose::Active => {
                if let Some(effort) = self.active.as_mut().filter(|effort| effort.model == load.model) {
                    effort.ended(result.as_ref().err());
                }
            }
            Purpose::Preparation => {
                let own = self.preparation.as_mut().filter(|own| own.rollout == load.rollout);
                if let (Some(own), Err(error)) = (own, result) {
                    own.state = outcome(error);
                }
            }
        }
    }

    /// Notes that the worker's report may have expired: the fleet may have stopped counting it.
    pub(super) fn was_forgotten(&mut self) {
        self.member = false;
    }

    /// Returns whether jobs may be taken, given that these facts were announced before the last read. A worker that
    /// joins while a rollout is prepared may have been seen too late by the coordinator, so it prepares first.
    pub(super) fn may_take_jobs(&mut self, announced: &Facts) -> bool {
        let prepares = self.preparation.as_ref().is_some_and(|own| own.state == PreparationState::Loading);
        let may = self.ready && announced.state == WorkerState::Ready && (self.member || !prepares);
        self.member |= may;
        may
    }

    /// Returns when the active model is loaded again.
    pub(super) fn next_try(&self) -> Option<Instant> {
        self.active.as_ref().and_then(|effort| effort.next)
    }

    fn follow_active(
        &mut self,
        wanted: Option<&PinnedModel>,
        holds: &impl Fn(&PinnedModel) -> bool,
    ) -> Option<Load> {
        let Some(wanted) = wanted else {
            (self.active, self.generation, self.ready) = (None, None, true);
            return None;
        };
        let effort = match &mut self.active {
            Some(effort) if effort.model == *wanted => effort,
            changed => changed.insert(Effort {
                model: wanted.clone(),
                problem: None,
                found: None,
                next: Some(Instant::now()),
                pauses: Backoff::new(self.timing.retry, self.timing.max_retry),
            }),
        };
        self.ready = holds(wanted);
        if self.ready {
            (effort.problem, effort.found, effort.next) = (None, None, None);
            self.generation = Some(wanted.generation);
            return None;
        }
        effort.next.take_if(|moment| *moment <= Instant::now())?;
        Some(Load { model: wanted.clone(), purpose: Purpose::Active, rollout: None })
    }

    fn follow_rollout(
        &mut self,
        rollout: Option<&Rollout>,
        holds: &impl Fn(&PinnedModel) -> bool,
    ) -> Option<Load> {
        let Some(rollout) = rollout else {
            self.preparation = None;
            return None;
        };
        let begins = self.preparation.as_ref().is_none_or(|own| !own.is_for(rollout));
        if begins {
            let state = PreparationState::Loading;
            self.preparation =
                Some(Preparation { generation: rollout.generation, rollout: Some(rollout.id()), state });
        }
        if let Some(own) = self.preparation.as_mut().filter(|own| own.state == PreparationState::Loading)
            && holds(&rollout.target)
        {
            own.state = PreparationState::Prepared;
            return None;
        }
        let rollout_id = Some(rollout.id());
        begins.then(|| Load {
            model: rollout.target.clone(),
            purpose: Purpose::Preparation,
            rollout: rollout_id,
        })
    }
}

impl Effort {
    fn told(&self) -> String {
        let loading = || format!("the active model `{}` is being loaded", self.model.name);
        self.problem.clone().unwrap_or_else(loading)
    }

    fn ended(&mut self, error: Option<&ModelsError>) {
        let Some(error) = error else {
            // The state is read again at once: the model is there now, unless it was dropped before.
            self.next = Some(Instant::now());
            return;
        };
        self.problem = Some(format!("the active model cannot be loaded: {error}"));
        self.found = match error {
            ModelsError::WrongVersion { found, .. } => Some(found.clone()),
            ModelsError::Unservable { .. } | ModelsError::Unavailable(_) => None,
        };
        self.next = Some(Instant::now() + self.pauses.next_pause());
    }
}

fn outcome(error: &ModelsError) -> PreparationState {
    match error {
        ModelsError::Unservable { problems, .. } => {
            PreparationState::Unservable { problems: problems.clone() }
        }
        ModelsError::WrongVersion { .. } | ModelsError::Unavailable(_) => {
            PreparationState::Failed { reason: error.to_string() }
        }
    }
}

/// Returns the rollout to prepare for.
pub(super) fn preparing(fleet: &FleetState) -> Option<&Rollout> {
    fleet.rollout.as_ref().filter(|rollout| rollout.phase == Phase::Preparing)
}
