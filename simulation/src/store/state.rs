//! The store's content. As a value it can be saved and restored.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use common::fleet::{FleetState, WorkerReport};
use common::ids::{JobId, Revision, WorkerId};
use common::messages::{Job, JobRecord, PartId, PartResult, Progress, Timestamp};
use common::store::{Acceptance, Replacement, Revised, Stored, Wanted};
use uuid::Uuid;

/// The content.
#[derive(Debug, Clone, Default)]
pub struct State {
    jobs: HashMap<JobId, Entry>,
    keys: HashMap<String, JobId>,
    fleet: Revised<FleetState>,
    workers: BTreeMap<WorkerId, (WorkerReport, Timestamp)>,
}

#[derive(Debug, Clone)]
struct Entry {
    record: JobRecord,
    confirmed: bool,
    begun: bool,
    parts: u32,
    deadline: Timestamp,
    results: BTreeMap<u32, PartResult>,
    tries: BTreeMap<(u32, u32), Tries>,
    successors: BTreeMap<u32, u32>,
    forget_at: Timestamp,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tries {
    count: u32,
    /// The id of the last call that counted: a repeated call counts once.
    last: Uuid,
}

impl Entry {
    fn is_complete(&self) -> bool {
        self.results.len() >= self.parts as usize
    }

    fn has_ended(&self, now: Timestamp) -> bool {
        self.is_complete() || now >= self.deadline
    }

    fn knows(&self, index: u32) -> bool {
        index < self.record.parts || self.successors.values().any(|given| *given == index)
    }

    fn lacks(&self, index: u32) -> bool {
        self.knows(index) && !self.results.contains_key(&index)
    }

    fn job(&self, now: Timestamp) -> Job {
        let results = self.results.iter().map(|(index, result)| (*index, result.clone())).collect();
        let progress = Progress { begun: self.begun, parts: self.parts, deadline: self.deadline, results };
        Job::assemble(self.record.clone(), progress, now)
    }
}

impl State {
    fn entry(&mut self, job: JobId, now: Timestamp) -> Option<&mut Entry> {
        if self.jobs.get(&job).is_some_and(|entry| now >= entry.forget_at) {
            self.forget(job);
        }
        self.jobs.get_mut(&job)
    }

    fn forget(&mut self, job: JobId) -> bool {
        let Some(entry) = self.jobs.remove(&job) else { return false };
        if let Some(key) = entry.record.idempotency.map(|wanted| wanted.key)
            && self.keys.get(&key) == Some(&job)
        {
            self.keys.remove(&key);
        }
        true
    }

    pub(super) fn put_job(&mut self, record: &JobRecord, fleet: Revision, now: Timestamp) -> Acceptance {
        if let Some(wanted) = &record.idempotency {
            let owner = self.keys.get(&wanted.key).copied().filter(|owner| *owner != record.id);
            if let Some(owner) = owner.and_then(|owner| self.entry(owner, now)) {
                return if owner.record.idempotency.as_ref() != Some(wanted) {
                    Acceptance::OtherRequest
                } else if owner.confirmed || owner.has_ended(now) {
                    Acceptance::SameRequest(owner.record.id)
                } else {
                    Acceptance::InProgress(owner.record.id)
                };
            }
        }
        if self.entry(record.id, now).is_some() {
            return Acceptance::Accepted;
        }
        if self.fleet.revision != fleet {
            return Acceptance::FleetChanged;
        }
        if let Some(wanted) = &record.idempotency {
            self.keys.insert(wanted.key.clone(), record.id);
        }
        let entry = Entry {
            confirmed: false,
            begun: false,
            parts: record.parts,
            deadline: record.deadline,
            results: BTreeMap::new(),
            tries: BTreeMap::new(),
            successors: BTreeMap::new(),
            forget_at: record.deadline.after(record.retention),
            record: record.clone(),
        };
        self.jobs.insert(record.id, entry);
        Acceptance::Accepted
    }

    pub(super) fn knows(&self, job: JobId) -> bool {
        self.jobs.contains_key(&job)
    }

    pub(super) fn confirm_job(&mut self, job: JobId, now: Timestamp) {
        if let Some(entry) = self.entry(job, now) {
            entry.confirmed = true;
        }
    }

    pub(super) fn job(&mut self, job: JobId, now: Timestamp) -> Option<(Job, Timestamp)> {
        self.entry(job, now).map(|entry| (entry.job(now), entry.deadline))
    }

    pub(super) fn cancel_job(&mut self, job: JobId) -> bool {
        self.forget(job)
    }

    pub(super) fn withdraw_job(&mut self, job: JobId, now: Timestamp) {
        let told = |entry: &mut Entry| {
            entry.record.idempotency.is_some() && (entry.confirmed || entry.has_ended(now))
        };
        if !self.entry(job, now).is_some_and(told) {
            self.forget(job);
        }
    }

    pub(super) fn forget_after(&mut self, jobs: &[JobId], span: Duration, now: Timestamp) {
        for job in jobs {
            if let Some(entry) = self.entry(*job, now).filter(|entry| entry.is_complete()) {
                entry.forget_at = now.after(span);
            }
        }
    }

    pub(super) fn begin_part(&mut self, part: PartId, now: Timestamp) -> Wanted {
        match self.entry(part.job, now).filter(|entry| !entry.has_ended(now) && entry.lacks(part.index)) {
            Some(entry) => {
                entry.begun = true;
                Wanted::Yes
            }
            None => Wanted::No,
        }
    }

    /// Returns whether the result is the first, and whether the job has ended with it.
    pub(super) fn put_part(&mut self, part: PartId, result: &PartResult, now: Timestamp) -> (Stored, bool) {
        let open = self.entry(part.job, now).filter(|entry| !entry.has_ended(now) && entry.lacks(part.index));
        let Some(entry) = open else { return (Stored::Ignored, false) };
        entry.results.insert(part.index, result.clone());
        entry.tries.retain(|(index, _), _| *index != part.index);
        let ends = entry.is_complete();
        if ends {
            entry.forget_at = now.after(entry.record.retention);
        }
        (Stored::First, ends)
    }

    pub(super) fn begin_try(&mut self, part: PartId, position: u32, call: Uuid, now: Timestamp) -> u32 {
        let Some(entry) = self.entry(part.job, now).filter(|entry| entry.lacks(part.index)) else { return 1 };
        let tries = entry.tries.entry((part.index, position)).or_default();
        if tries.last != call {
            (tries.count, tries.last) = (tries.count + 1, call);
        }
        tries.count
    }

    pub(super) fn end_try(&mut self, part: PartId, position: u32, call: Uuid, now: Timestamp) {
        let tries = self.entry(part.job, now).and_then(|entry| entry.tries.get_mut(&(part.index, position)));
        if let Some(tries) = tries.filter(|tries| tries.count > 0 && tries.last != call) {
            (tries.count, tries.last) = (tries.count - 1, call);
        }
    }

    pub(super) fn reopen_part(
        &mut self,
        part: PartId,
        deadline: Timestamp,
        now: Timestamp,
    ) -> Option<PartId> {
        let entry = self.entry(part.job, now).filter(|entry| entry.knows(part.index))?;
        let mut index = part.index;
        while let Some(successor) = entry.successors.get(&index) {
            index = *successor;
        }
        if !entry.lacks(index) {
            // As in Redis: the index depends only on the part that it follows.
            let given = index + entry.record.parts;
            entry.successors.insert(index, given);
            index = given;
            entry.parts += 1;
        }
        entry.deadline = entry.deadline.max(deadline);
        entry.forget_at = entry.deadline.after(entry.record.retention);
        Some(PartId { job: part.job, index })
    }

    /// The fleet's state.
    #[must_use]
    pub fn fleet(&self) -> &Revised<FleetState> {
        &self.fleet
    }

    pub(super) fn replace_fleet(
        &mut self,
        (expected, new): (Revision, Revision),
        next: &FleetState,
        not_after: Option<Timestamp>,
        now: Timestamp,
    ) -> Replacement {
        // A repeated call, after a lost answer, has already taken effect.
        if self.fleet.revision == new {
            return Replacement::Done(new);
        }
        if not_after.is_some_and(|last| now > last) {
            return Replacement::TooLate;
        }
        if self.fleet.revision != expected {
            return Replacement::Changed;
        }
        self.fleet = Revised { revision: new, value: next.clone() };
        Replacement::Done(new)
    }

    pub(super) fn report_worker(&mut self, report: &WorkerReport, until: Timestamp) {
        self.workers.insert(report.id.clone(), (report.clone(), until));
    }

    pub(super) fn remove_worker(&mut self, worker: &WorkerId) {
        self.workers.remove(worker);
    }

    /// Reports that have not expired.
    #[must_use]
    pub fn workers(&self, now: Timestamp) -> Vec<WorkerReport> {
        let online = self.workers.values().filter(|(_, until)| *until > now);
        online.map(|(report, _)| report.clone()).collect()
    }
}
