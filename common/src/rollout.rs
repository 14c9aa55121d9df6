//! The swap as a state machine over [`FleetState`]: no IO, no clock.
//!
//! ```text
//!            all prepared                all follow, or the limit is over
//! Preparing ──────────────▶ Converging ──────────────────────────────────▶ Done
//!     │                      (active := target, in the same replacement)
//!     └──▶ RolledBack        one fails, time is up, or the coordinator is gone
//! ```
//!
//! Whoever acts reads the document, asks [`step`] what should stand there instead, and replaces it by
//! compare-and-set. Only the coordinator, and only while its lease lasts, may commit. Once the lease is
//! over anyone ends the rollout: before the commit by rolling it back, after it by finishing it. Nothing
//! takes a commit back; going back to the model before is another rollout.
//!
//! # Which workers count
//!
//! Every worker that is [`WorkerState::Ready`] must be prepared before the commit, and must follow before
//! the end. While there is none, those that are starting count instead, so that a fleet whose active model
//! cannot be loaded can be given another without anyone trying it. A worker whose report expired counts no
//! more, one that joins counts from its first ready report. A worker announces itself ready *before* it
//! looks at this document for the last time and takes jobs, and the reports are read *after* the document:
//! so either the coordinator sees the worker, or the worker sees the rollout and prepares before it takes
//! jobs.

mod watch;

use uuid::Uuid;

use crate::fleet::{
    FleetState, ModelRole, Phase, PreparationState, Rollout, RolloutFailure, WorkerReport, WorkerState,
};
use crate::ids::{Generation, ModelName, ModelVersion, WorkerId};
use crate::messages::{PinnedModel, Timestamp};

pub use self::watch::LeaseWatch;
pub use crate::fleet::RolloutTiming;

/// Problems of a package that are kept once its rollout is history: the document is read for every
/// request and has to stay small.
const REMEMBERED_PROBLEMS: usize = 16;

/// What is to be rolled out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The package.
    pub name: ModelName,
    /// Its bytes.
    pub version: ModelVersion,
}

/// A rollout is running: this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("rollout {0} is running")]
pub struct Busy(pub Generation);

/// Who asks for the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// The process that began the rollout with this id.
    Coordinator(Uuid),
    /// Anyone else: a sweeper, a worker.
    Bystander,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Nothing yet: look again soon.
    Wait,
    /// Put this in the document's place, if it is still the one that was read.
    Replace(Box<FleetState>),
    /// Nothing any more: the rollout has ended, or it is not this actor's.
    Over,
}

/// The document with a new rollout in it.
///
/// # Errors
/// Another one is running. If nobody leads it any more, a bystander's [`step`] ends it.
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

/// What a rollback rolls out: the model that was active before.
#[must_use]
pub fn rollback_target(state: &FleetState) -> Option<Target> {
    state.previous.as_ref().map(|model| Target { name: model.name.clone(), version: model.version.clone() })
}

/// Whether the document holds a running rollout that nobody leads any more.
#[must_use]
pub fn is_orphaned(state: &FleetState, now: Timestamp) -> bool {
    state.rollout.as_ref().is_some_and(|rollout| !rollout.is_ended() && now >= rollout.lease_until)
}

/// Decides what happens next, given the document, the unexpired reports read after it, and the time.
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
        // Whoever knows this phase ends it.
        (Phase::Unknown, _) => return Decision::Wait,
    };
    apply(state, change, now)
}

/// What a step changes.
enum Change {
    /// Nothing but the lease, where it is due.
    Renew,
    /// These workers count from now on.
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
        // With nobody left, those that were waited for are the ones that are missing.
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

/// The workers that have a say before the commit.
fn counted(workers: &[WorkerReport]) -> Vec<&WorkerReport> {
    let in_state = |state| workers.iter().filter(move |worker| worker.state == state).collect::<Vec<_>>();
    let ready = in_state(WorkerState::Ready);
    if ready.is_empty() { in_state(WorkerState::Starting) } else { ready }
}

fn preparation<'a>(worker: &'a WorkerReport, rollout: &Rollout) -> Option<&'a PreparationState> {
    let preparation = worker.preparation.as_ref()?;
    preparation.is_for(rollout).then_some(&preparation.state)
}

/// Whether a worker answers from the rollout's target. Its generation alone does not tell: a store that came back
/// with an older state gives the same one again.
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
    // Renewed at two thirds: often enough to outlast a short outage, seldom enough not to matter.
    let due = rollout.lease_until <= now.after(span * 2 / 3);
    match change {
        Change::Renew if !due => return Decision::Wait,
        // An orphan waits for the end of its convergence; nobody takes its lease.
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
            // Rolling out the active model again changes nothing, and so not what it would go back to.
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
