//! The store's server: its state, its faults, and checks at every write.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use common::fleet::FleetState;
use common::ids::{JobId, Revision};
use common::messages::{JobRecord, Timestamp};
use common::store::{Acceptance, Replacement, StoreError};
use tokio::sync::Notify;

use super::state::State;
use crate::link::{Door, lock};
use crate::options::{Fix, Options};
use crate::promises::Promises;
use crate::trace::Trace;

/// A server that all processes share.
pub struct StoreServer {
    /// Whether it accepts connections.
    pub door: Arc<Door>,
    options: Options,
    trace: Arc<Trace>,
    promises: Arc<Promises>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    state: State,
    /// It reads and does not write.
    refuses: bool,
    ends: HashMap<JobId, Arc<Notify>>,
}

impl StoreServer {
    /// Creates an empty one.
    #[must_use]
    pub fn new(options: Options, trace: Arc<Trace>, promises: Arc<Promises>) -> Arc<Self> {
        Arc::new(Self { door: Arc::default(), options, trace, promises, held: Mutex::default() })
    }

    /// Returns its time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.trace.now()
    }

    /// Returns its content.
    #[must_use]
    pub fn state(&self) -> State {
        lock(&self.held).state.clone()
    }

    /// Restores this content.
    pub fn restore(&self, state: State) {
        lock(&self.held).state = state;
    }

    /// Sets whether it refuses to write.
    pub fn refuse(&self, refuses: bool) {
        lock(&self.held).refuses = refuses;
    }

    pub(super) fn read<T>(&self, read: impl FnOnce(&mut State) -> T) -> T {
        read(&mut lock(&self.held).state)
    }

    pub(super) fn write<T>(&self, write: impl FnOnce(&mut State) -> T) -> Result<T, StoreError> {
        let mut held = lock(&self.held);
        if held.refuses {
            return Err(StoreError::Refused(
                "OOM command not allowed when used memory > 'maxmemory'".to_owned(),
            ));
        }
        Ok(write(&mut held.state))
    }

    pub(super) fn put_job(&self, record: &JobRecord, fleet: Revision) -> Result<Acceptance, StoreError> {
        let now = self.now();
        let (known, acceptance, active) = self.write(|state| {
            let known = state.knows(record.id);
            let acceptance = state.put_job(record, fleet, now);
            (known, acceptance, state.fleet().value.active.clone())
        })?;
        self.trace.note(|| {
            let what = match acceptance {
                Acceptance::Accepted => "accepted".to_owned(),
                Acceptance::SameRequest(job) => format!("the same as {}", self.trace.job(job)),
                Acceptance::InProgress(job) => format!("the same as {}, not queued", self.trace.job(job)),
                Acceptance::OtherRequest => "another request".to_owned(),
                Acceptance::FleetChanged => "chosen from an old state".to_owned(),
            };
            format!("store: {} is {what}", self.trace.job(record.id))
        });
        if acceptance == Acceptance::Accepted && !known {
            self.promises.job_put(record, active.as_ref());
        }
        Ok(acceptance)
    }

    pub(super) fn replace_fleet(
        &self,
        (expected, new): (Revision, Revision),
        next: &FleetState,
        not_after: Option<Timestamp>,
    ) -> Result<Replacement, StoreError> {
        let now = self.now();
        let (unique, punctual) = (self.options.has(Fix::UniqueRevisions), self.options.has(Fix::LastMoments));
        let (before, done) = self.write(|state| {
            let before = state.fleet().clone();
            let new = if unique { new } else { Revision::from_number(expected.number() + 1) };
            let done = state.replace_fleet((expected, new), next, not_after.filter(|_| punctual), now);
            (before, done)
        })?;
        let phase = next.rollout.as_ref().map(|rollout| &rollout.phase);
        self.trace.note(|| {
            let done = match done {
                Replacement::Done(_) => "done",
                Replacement::Changed => "changed before",
                Replacement::TooLate => "too late",
            };
            format!("store: fleet at {} {phase:?}: {done}", next.generation)
        });
        if done.done().is_some() && before.value != *next {
            self.promises.fleet_replaced(&before.value, next);
        }
        Ok(done)
    }

    /// Returns the watches, which wait for the end of jobs.
    pub(super) fn end_of(&self, job: JobId) -> Arc<Notify> {
        Arc::clone(lock(&self.held).ends.entry(job).or_default())
    }

    pub(super) fn ended(&self, job: JobId) {
        if let Some(end) = lock(&self.held).ends.get(&job) {
            end.notify_waiters();
        }
    }
}
