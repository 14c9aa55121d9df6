//! The swap as a state machine over [`FleetState`], without IO and clock.
//!
//! ```text
//!            all prepared                all follow, or the limit is over
//! Preparing ──────────────▶ Converging ──────────────────────────────────▶ Done
//!     │                      (active := target, in the same replacement)
//!     └──▶ RolledBack        one fails, time is up, or the coordinator is gone
//! ```
//!
//! Every actor reads the document, asks [`step`] for its replacement, and replaces it by compare-and-set. Only the
//! coordinator may commit, and only during its lease. After the lease any process ends the rollout: it rolls it back
//! before the commit, or finishes it after the commit. A commit is never undone: going back to the previous model is
//! another rollout.
//!
//! # Which workers count
//!
//! Every worker that is [`WorkerState::Ready`] must be prepared before the commit, and must follow before the end. If
//! there is none, starting workers count instead, so that a fleet whose active model cannot be loaded can get another
//! one, but not an untried one. A worker whose report expired does not count any more; a joining one counts from its first
//! ready report. A worker reports ready *before* it last reads this document and takes jobs, and the reports are read
//! *after* the document. So either the coordinator sees the worker, or the worker sees the rollout and prepares before
//! it takes jobs.

mod watch;

use uuid::Uuid;

use crate::fleet::{
    FleetState, ModelRole, Phase, PreparationState, Rollout, RolloutFailure, WorkerReport, WorkerState,
};
use crate::ids::{Generation, ModelName, ModelVersion, WorkerId};
use crate::messages::{PinnedModel, Timestamp};

pub use self::watch::LeaseWatch;
pub use crate::fleet::RolloutTiming;

/// Most problems of a package that are kept when its rollout has ended: the document is read for every request and must
/// stay small.
const REMEMBERED_PROBLEMS: usize = 16;

/// The model to roll out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The package.
    pub name: ModelName,
    /// Its version.
    pub version: ModelVersion,
}

/// Another rollout is running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("rollout {0} is running")]
pub struct Busy(pub Generation);

/// Who asks for the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// The process that began the rollout with this id.
    Coordinator(Uuid),
    /// Any other process: a sweeper, a worker.
    Bystander,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Nothing yet: check again soon.
    Wait,
    /// Replace the document with this one, if it is still the one that was read.
    Replace(Box<FleetState>),
    /// Nothing any more: the rollout has ended, or another process runs it.
    Over,
}

/// Returns the document with a new rollout.
///
/// # Errors
/// Another one is running. If it is abandoned, a bystander's [`step`] ends it.
pub fn begin(
    state: &FleetState,
    target: Target,
    coordinator: Uuid,
    now: Timestamp,
    timing: RolloutTiming,
) -> Result<FleetState, Busy> {
    let mut next = state.clone();
    if let Some(last) = next.rollout.take() {
        if !last.is_ended() {
            return Err(Busy(last.generation));
        }
        next.history.push_front(abridged(last));
        next.history.truncate(FleetState::HISTORY);
    }
    next.generation = state.generation.next();
    next.rollout = Some(Rollout {
        generation: next.generation,
        target: PinnedModel { name: target.name, version: target.version, generation: next.generation },
        phase: Phase::Preparing,
        started_at: now,
        ended_at: None,
        prepare_until: now.after(timing.prepare_limit),
        coordinator,
        lease_until: now.after(timing.lease),
        committed_at: None,
        participants: Vec::new(),
        timing,
    });
    Ok(next)
}

/// Returns what a rollback rolls out: the previous model.
#[must_use]
pub fn rollback_target(state: &FleetState) -> Option<Target> {
    state.previous.as_ref().map(|model| Target { name: model.name.clone(), version: model.version.clone() })
}

/// Returns whether the document has a running rollout whose coordinator is lost.
#[must_use]
pub fn is_orphaned(state: &FleetState, now: Timestamp) -> bool {
    state.rollout.as_ref().is_some_and(|rollout| !rollout.is_ended() && now >= rollout.lease_until)
}

/// Decides the next step, given the document, the unexpired reports read after it, and the time.
#[must_use]
pub fn step(state: &FleetState, workers: &[WorkerReport], now: Timestamp, who: Actor) -> Decision {
    let Some(rollout) = state.rollout.as_ref().filter(|rollout| !rollout.is_ended()) else {
        return Decision::Over;
    };
    let orphaned = now >= rollout.lease_until;
    match who {
        Actor::Coordinator(id) if id != rollout.coordinator => return Decision::Over,
        Actor::Bystander if !orphaned => return Decision::Wait,
        Actor::Coordinator(_) | Actor::Bystander => {}
    }
    let change = match (&rollout.phase, orphaned) {
        (Phase::Preparing, true) => Change::RollBack(RolloutFailure::CoordinatorLost),
        (Phase::Preparing, false) => prepare(rollout, workers, now),
        (Phase::Converging, _) => converge(rollout, workers, now),
        (Phase::Done | Phase::RolledBack { .. }, _) => return Decision::Over,
        // A process that knows this phase ends it.
        (Phase::Unknown, _) => return Decision::Wait,
    };
    apply(state, change, now)
}

/// The changes of a step.
enum Change {
    /// Renews only the lease, if it is due.
    Renew,
    /// Adds these workers to those that count.
    Count(Vec<WorkerId>),
    Commit(Vec<WorkerId>),
    Finish,
    RollBack(RolloutFailure),
}

fn prepare(rollout: &Rollout, workers: &[WorkerReport], now: Timestamp) -> Change {
    let counted = counted(workers);
    let states: Vec<_> = counted.iter().map(|worker| (worker, preparation(worker, rollout))).collect();

    if let Some(failure) = states.iter().find_map(|(worker, state)| unservable(worker, *state)) {
        return Change::RollBack(failure);
    }
    if let Some(failure) = states.iter().find_map(|(worker, state)| failed(worker, *state)) {
        return Change::RollBack(failure);
    }
    let mut participants = rollout.participants.clone();
    for worker in &counted {
        if !participants.contains(&worker.id) {
            participants.push(worker.id.clone());
        }
    }
    let unprepared: Vec<_> = states
        .iter()
        .filter(|(_, state)| *state != Some(&PreparationState::Prepared))
        .map(|(worker, _)| worker.id.clone())
        .collect();
    let untried = participants.is_empty();
    let nobody_comes = now >= rollout.started_at.after(rollout.timing.grace).min(rollout.prepare_until);
    if (untried && nobody_comes) || (!counted.is_empty() && unprepared.is_empty()) {
        return Change::Commit(participants);
    }
    if now >= rollout.prepare_until {
        // If no worker is left, the missing ones are those that were waited for.
        let waiting_for = if counted.is_empty() { participants } else { unprepared };
        return Change::RollBack(RolloutFailure::TimedOut { waiting_for });
    }
    if participants.len() > rollout.participants.len() { Change::Count(participants) } else { Change::Renew }
}

fn converge(rollout: &Rollout, workers: &[WorkerReport], now: Timestamp) -> Change {
    let follows = |worker: &&WorkerReport| follows(worker, rollout);
    let everyone = workers.iter().filter(|worker| worker.state == WorkerState::Ready).all(|w| follows(&w));
    let committed_at = rollout.committed_at.unwrap_or(rollout.started_at);
    if everyone || now >= committed_at.after(rollout.timing.converge_limit) {
        Change::Finish
    } else {
        Change::Renew
    }
}

/// Returns the workers that count before the commit.
fn counted(workers: &[WorkerReport]) -> Vec<&WorkerReport> {
    let in_state = |state| workers.iter().filter(move |worker| worker.state == state).collect::<Vec<_>>();
    let ready = in_state(WorkerState::Ready);
    if ready.is_empty() { in_state(WorkerState::Starting) } else { ready }
}

fn preparation<'a>(worker: &'a WorkerReport, rollout: &Rollout) -> Option<&'a PreparationState> {
    let preparation = worker.preparation.as_ref()?;
    preparation.is_for(rollout).then_some(&preparation.state)
}

/// Returns whether a worker serves the rollout's target. The generation alone is not enough: a store that came back
/// with an older state assigns it again.
fn follows(worker: &WorkerReport, rollout: &Rollout) -> bool {
    let target = &rollout.target;
    let answers_from_it = worker.loaded.iter().any(|model| {
        model.role == ModelRole::Active && model.name == target.name && model.version == target.version
    });
    worker.generation >= Some(rollout.generation) && answers_from_it
}

fn unservable(worker: &WorkerReport, state: Option<&PreparationState>) -> Option<RolloutFailure> {
    match state? {
        PreparationState::Unservable { problems } => {
            Some(RolloutFailure::Unservable { worker: worker.id.clone(), problems: problems.clone() })
        }
        PreparationState::Loading
        | PreparationState::Prepared
        | PreparationState::Failed { .. }
        | PreparationState::Unknown => None,
    }
}

fn failed(worker: &WorkerReport, state: Option<&PreparationState>) -> Option<RolloutFailure> {
    match state? {
        PreparationState::Failed { reason } => {
            Some(RolloutFailure::WorkerFailed { worker: worker.id.clone(), reason: reason.clone() })
        }
        PreparationState::Loading
        | PreparationState::Prepared
        | PreparationState::Unservable { .. }
        | PreparationState::Unknown => None,
    }
}

fn apply(state: &FleetState, change: Change, now: Timestamp) -> Decision {
    let mut next = state.clone();
    let Some(rollout) = next.rollout.as_mut() else { return Decision::Over };
    let span = rollout.timing.lease;
    // Renewed after two thirds: early enough to survive a short outage, late enough to cause no load.
    let due = rollout.lease_until <= now.after(span * 2 / 3);
    match change {
        Change::Renew if !due => return Decision::Wait,
        // An abandoned rollout waits for the end of its convergence; no process takes over its lease.
        Change::Renew if now >= rollout.lease_until => return Decision::Wait,
        Change::Renew => rollout.lease_until = now.after(span),
        Change::Count(participants) => {
            rollout.participants = participants;
            rollout.lease_until = now.after(span);
        }
        Change::Commit(participants) => {
            rollout.participants = participants;
            rollout.lease_until = now.after(span);
            rollout.committed_at = Some(now);
            rollout.phase = Phase::Converging;
            let before = next.active.replace(rollout.target.clone());
            // Rolling out the active model again changes nothing, including the target of a rollback.
            if before.as_ref().is_none_or(|model| !is_same(model, &rollout.target)) {
                next.previous = before;
            }
        }
        Change::Finish => {
            rollout.phase = Phase::Done;
            rollout.ended_at = Some(now);
        }
        Change::RollBack(failure) => {
            rollout.phase = Phase::RolledBack { failure };
            rollout.ended_at = Some(now);
        }
    }
    Decision::Replace(Box::new(next))
}

fn is_same(one: &PinnedModel, other: &PinnedModel) -> bool {
    one.name == other.name && one.version == other.version
}

fn abridged(mut rollout: Rollout) -> Rollout {
    if let Phase::RolledBack { failure: RolloutFailure::Unservable { problems, .. } } = &mut rollout.phase
        && problems.len() > REMEMBERED_PROBLEMS
    {
        let more = problems.len() - REMEMBERED_PROBLEMS;
        problems.truncate(REMEMBERED_PROBLEMS);
        problems.push(format!("and {more} more"));
    }
    rollout
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
