//! The store of a single process: everything in memory, and no longer than it has to be.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::fleet::{FleetState, WorkerReport};
use crate::ids::{JobId, WorkerId};
use crate::messages::{Job, JobRecord, PartId, PartResult, Progress, Timestamp};
use crate::store::watch::{Watch, Watched};
use crate::store::{Acceptance, Revised, Store, StoreError, Stored, Wanted};

/// Jobs, results and the fleet's state in memory.
#[derive(Default)]
pub struct InMemoryStore {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    jobs: HashMap<JobId, Entry>,
    /// Jobs by the moment at which they are forgotten: what a sweep takes from the front.
    forgetting: BTreeSet<(Timestamp, JobId)>,
    idempotency: HashMap<String, JobId>,
    fleet: Revised<FleetState>,
    workers: BTreeMap<WorkerId, (WorkerReport, Instant)>,
    watched: Arc<Watched>,
}

/// What is known of one job.
struct Entry {
    record: JobRecord,
    confirmed: bool,
    begun: bool,
    /// Parts by now, those that replays added included.
    parts: u32,
    /// The latest deadline: the record's or a replay's.
    deadline: Timestamp,
    results: BTreeMap<u32, PartResult>,
    /// Tries of an image of a part that has no result yet, by part and position.
    tries: BTreeMap<(u32, u32), u32>,
    /// The part that was added when a part with a result was reopened.
    successors: BTreeMap<u32, u32>,
    forget_at: Timestamp,
}

impl InMemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The state, rid of the jobs whose time is over.
    fn state(&self, now: Timestamp) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.sweep(now);
        state
    }
}

impl State {
    fn sweep(&mut self, now: Timestamp) {
        while let Some(&(_, job)) = self.forgetting.first().filter(|(moment, _)| *moment <= now) {
            self.forget(job);
        }
    }

    fn forget(&mut self, job: JobId) -> bool {
        let Some(entry) = self.jobs.remove(&job) else { return false };
        self.forgetting.remove(&(entry.forget_at, job));
        if let Some(idempotency) = &entry.record.idempotency {
            self.idempotency.remove(&idempotency.key);
        }
        self.watched.wake(job, None);
        true
    }

    fn forget_at(&mut self, job: JobId, moment: Timestamp) {
        if let Some(entry) = self.jobs.get_mut(&job) {
            self.forgetting.remove(&(entry.forget_at, job));
            entry.forget_at = moment;
            self.forgetting.insert((moment, job));
        }
    }

    /// The job's entry if it still lacks results and somebody waits for them.
    fn open_job(&mut self, job: JobId, now: Timestamp) -> Option<&mut Entry> {
        self.jobs.get_mut(&job).filter(|entry| !entry.has_ended(now))
    }
}

impl Entry {
    fn new(record: JobRecord) -> Self {
        Self {
            confirmed: false,
            begun: false,
            parts: record.parts,
            deadline: record.deadline,
            results: BTreeMap::new(),
            tries: BTreeMap::new(),
            successors: BTreeMap::new(),
            forget_at: record.deadline.after(record.retention),
            record,
        }
    }

    fn has_ended(&self, now: Timestamp) -> bool {
        self.is_complete() || now >= self.deadline
    }

    fn is_complete(&self) -> bool {
        self.results.len() >= self.parts as usize
    }

    /// Whether the part belongs to the job and has no result.
    fn lacks(&self, index: u32) -> bool {
        index < self.parts && !self.results.contains_key(&index)
    }

    fn job(&self, now: Timestamp) -> Job {
        let results = self.results.iter().map(|(index, result)| (*index, result.clone())).collect();
        let progress = Progress { begun: self.begun, parts: self.parts, deadline: self.deadline, results };
        Job::assemble(self.record.clone(), progress, now)
    }
}

#[async_trait]
impl Store for InMemoryStore {
    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn put_job(&self, record: &JobRecord, fleet: u64) -> Result<Acceptance, StoreError> {
        let now = Timestamp::now();
        let mut state = self.state(now);
        if let Some(wanted) = &record.idempotency {
            let owner = state.idempotency.get(&wanted.key).and_then(|job| state.jobs.get(job));
            if let Some(owner) = owner.filter(|owner| owner.record.id != record.id) {
                return Ok(if owner.record.idempotency.as_ref() != Some(wanted) {
                    Acceptance::OtherRequest
                } else if owner.confirmed || owner.has_ended(now) {
                    Acceptance::SameRequest(owner.record.id)
                } else {
                    Acceptance::InProgress(owner.record.id)
                });
            }
        }
        if state.jobs.contains_key(&record.id) {
            return Ok(Acceptance::Accepted);
        }
        if state.fleet.revision != fleet {
            return Ok(Acceptance::FleetChanged);
        }
        if let Some(wanted) = &record.idempotency {
            state.idempotency.insert(wanted.key.clone(), record.id);
        }
        let entry = Entry::new(record.clone());
        state.forgetting.insert((entry.forget_at, record.id));
        state.jobs.insert(record.id, entry);
        Ok(Acceptance::Accepted)
    }

    async fn confirm_job(&self, job: JobId) -> Result<(), StoreError> {
        if let Some(entry) = self.state(Timestamp::now()).jobs.get_mut(&job) {
            entry.confirmed = true;
        }
        Ok(())
    }

    async fn job(&self, job: JobId) -> Result<Option<Job>, StoreError> {
        let now = Timestamp::now();
        Ok(self.state(now).jobs.get(&job).map(|entry| entry.job(now)))
    }

    fn watch(&self, job: JobId) -> Watch {
        self.state(Timestamp::now()).watched.begin(job)
    }

    async fn wait(&self, mut watch: Watch, limit: Duration) -> Result<Option<Job>, StoreError> {
        let until = Instant::now() + limit;
        loop {
            let now = Timestamp::now();
            let deadline = match self.state(now).jobs.get(&watch.job()) {
                None => return Ok(None),
                Some(entry) if entry.has_ended(now) => return Ok(Some(entry.job(now))),
                Some(entry) => entry.deadline,
            };
            let moment = until.min(Instant::now() + deadline.since(now));
            if !watch.woken_until(moment).await && moment == until {
                return self.job(watch.job()).await;
            }
        }
    }

    async fn cancel_job(&self, job: JobId) -> Result<bool, StoreError> {
        Ok(self.state(Timestamp::now()).forget(job))
    }

    async fn forget_after(&self, jobs: &[JobId], span: Duration) -> Result<(), StoreError> {
        let now = Timestamp::now();
        let mut state = self.state(now);
        for job in jobs {
            if state.jobs.get(job).is_some_and(Entry::is_complete) {
                state.forget_at(*job, now.after(span));
            }
        }
        Ok(())
    }

    async fn begin_part(&self, part: PartId) -> Result<Wanted, StoreError> {
        let now = Timestamp::now();
        Ok(match self.state(now).open_job(part.job, now) {
            Some(entry) if entry.lacks(part.index) => {
                entry.begun = true;
                Wanted::Yes
            }
            Some(_) | None => Wanted::No,
        })
    }

    async fn put_part(&self, part: PartId, result: &PartResult) -> Result<Stored, StoreError> {
        let now = Timestamp::now();
        let mut state = self.state(now);
        let Some(entry) = state.open_job(part.job, now).filter(|entry| entry.lacks(part.index)) else {
            return Ok(Stored::Ignored);
        };
        entry.results.insert(part.index, result.clone());
        entry.tries.retain(|(index, _), _| *index != part.index);
        if entry.is_complete() {
            let moment = now.after(entry.record.retention);
            state.forget_at(part.job, moment);
            state.watched.wake(part.job, None);
        }
        Ok(Stored::First)
    }

    async fn begin_try(&self, part: PartId, position: u32) -> Result<u32, StoreError> {
        let now = Timestamp::now();
        let mut state = self.state(now);
        let Some(entry) = state.jobs.get_mut(&part.job).filter(|entry| entry.lacks(part.index)) else {
            return Ok(1);
        };
        let count = entry.tries.entry((part.index, position)).or_default();
        *count = count.saturating_add(1);
        Ok(*count)
    }

    async fn end_try(&self, part: PartId, position: u32) -> Result<(), StoreError> {
        let mut state = self.state(Timestamp::now());
        let tries = state.jobs.get_mut(&part.job).and_then(|job| job.tries.get_mut(&(part.index, position)));
        if let Some(count) = tries {
            *count = count.saturating_sub(1);
        }
        Ok(())
    }

    async fn reopen_part(&self, part: PartId, deadline: Timestamp) -> Result<Option<PartId>, StoreError> {
        let mut state = self.state(Timestamp::now());
        let Some(entry) = state.jobs.get_mut(&part.job).filter(|entry| part.index < entry.parts) else {
            return Ok(None);
        };
        let mut index = part.index;
        while let Some(successor) = entry.successors.get(&index) {
            index = *successor;
        }
        if !entry.lacks(index) {
            entry.successors.insert(index, entry.parts);
            index = entry.parts;
            entry.parts += 1;
        }
        entry.deadline = entry.deadline.max(deadline);
        let moment = entry.deadline.after(entry.record.retention);
        state.forget_at(part.job, moment);
        Ok(Some(PartId { job: part.job, index }))
    }

    async fn fleet(&self) -> Result<Revised<FleetState>, StoreError> {
        Ok(self.state(Timestamp::now()).fleet.clone())
    }

    async fn replace_fleet(&self, revision: u64, next: &FleetState) -> Result<Option<u64>, StoreError> {
        let mut state = self.state(Timestamp::now());
        if state.fleet.revision != revision {
            return Ok(None);
        }
        state.fleet = Revised { revision: revision + 1, value: next.clone() };
        Ok(Some(revision + 1))
    }

    async fn report_worker(&self, report: &WorkerReport, ttl: Duration) -> Result<(), StoreError> {
        let until = Instant::now() + ttl;
        self.state(Timestamp::now()).workers.insert(report.id.clone(), (report.clone(), until));
        Ok(())
    }

    async fn remove_worker(&self, worker: &WorkerId) -> Result<(), StoreError> {
        self.state(Timestamp::now()).workers.remove(worker);
        Ok(())
    }

    async fn workers(&self) -> Result<Vec<WorkerReport>, StoreError> {
        let now = Instant::now();
        let mut state = self.state(Timestamp::now());
        state.workers.retain(|_, (_, until)| *until > now);
        Ok(state.workers.values().map(|(report, _)| report.clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Generation, ModelName, ModelVersion};
    use crate::messages::{Idempotency, PinnedModel};

    #[tokio::test]
    async fn memory_of_jobs_whose_retention_is_over_is_given_back() {
        let store = InMemoryStore::new();
        let model = PinnedModel {
            name: ModelName::parse("m").unwrap(),
            version: ModelVersion::from_digest([0; 32]),
            generation: Generation(1),
        };
        for number in 0..100 {
            let record = JobRecord {
                id: JobId::random(),
                model: model.clone(),
                accepted_at: Timestamp::now(),
                deadline: Timestamp::now(),
                retention: Duration::ZERO,
                image_ids: vec![0],
                parts: 1,
                top_k: 0,
                idempotency: Some(Idempotency { key: number.to_string(), request: [0; 32] }),
            };
            store.put_job(&record, 0).await.unwrap();
        }
        store.ping().await.unwrap();
        let state = store.state(Timestamp::now());
        assert!(state.jobs.is_empty() && state.forgetting.is_empty() && state.idempotency.is_empty());
    }
}
