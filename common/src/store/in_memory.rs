//! The store of a single process: compact, in memory, and deleted as soon as possible.

mod compact;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use self::compact::Compact;
use crate::fleet::{FleetState, WorkerReport};
use crate::ids::{JobId, Revision, WorkerId};
use crate::messages::{Job, JobRecord, PartId, PartResult, Progress, Timestamp};
use crate::store::watch::{Watch, Watched};
use crate::store::{Acceptance, Replacement, Revised, Store, StoreError, Stored, Wanted, refuse_newer};

/// Jobs, results and the fleet's state in memory.
///
/// Its clock starts with the host's time and runs on its own: steps of the host's clock have no effect.
///
/// Beyond its limit of bytes it forgets results that a client already has and that have no idempotency key, those that
/// expire first. If that is not enough, it refuses new jobs.
pub struct InMemoryStore {
    state: Mutex<State>,
    max_bytes: usize,
    began_at: Timestamp,
    began: Instant,
}

impl Default for InMemoryStore {
    fn default() -> Self {
        Self::bounded(usize::MAX)
    }
}

impl InMemoryStore {
    fn bounded(max_bytes: usize) -> Self {
        Self { state: Mutex::default(), max_bytes, began_at: Timestamp::now(), began: Instant::now() }
    }
}

#[derive(Default)]
struct State {
    jobs: HashMap<JobId, Entry>,
    /// Jobs by their expiry, which a sweep takes from the front.
    forgetting: BTreeSet<(Timestamp, JobId)>,
    /// Ended jobs that may be forgotten early, likewise.
    told: BTreeSet<(Timestamp, JobId)>,
    /// Approximate memory of the jobs.
    bytes: usize,
    idempotency: HashMap<String, JobId>,
    fleet: Revised<FleetState>,
    workers: BTreeMap<WorkerId, (WorkerReport, Instant)>,
    watched: Arc<Watched>,
}

/// A stored job.
struct Entry {
    record: JobRecord,
    confirmed: bool,
    begun: bool,
    /// Current number of parts, including those that replays added. Their indexes may be larger.
    parts: u32,
    /// The latest deadline: the record's or a replay's.
    deadline: Timestamp,
    results: BTreeMap<u32, Compact>,
    /// Tries of images of parts without a result, by part and position.
    tries: BTreeMap<(u32, u32), u32>,
    /// The part that was added when a part with a result was reopened.
    successors: BTreeMap<u32, u32>,
    forget_at: Timestamp,
    /// Its approximate memory.
    bytes: usize,
}

impl InMemoryStore {
    /// Creates an empty store.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Creates an empty store with a limit of about this many bytes for jobs and results.
    #[must_use]
    pub fn with_limit(max_bytes: usize) -> Arc<Self> {
        Arc::new(Self::bounded(max_bytes))
    }

    fn moment(&self) -> Timestamp {
        self.began_at.after(self.began.elapsed())
    }

    /// Returns the state without expired jobs.
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
        self.told.remove(&(entry.forget_at, job));
        self.bytes -= entry.bytes;
        if let Some(idempotency) = &entry.record.idempotency {
            self.idempotency.remove(&idempotency.key);
        }
        self.watched.wake(job, None);
        true
    }

    fn forget_at(&mut self, job: JobId, moment: Timestamp) {
        if let Some(entry) = self.jobs.get_mut(&job) {
            self.forgetting.remove(&(entry.forget_at, job));
            let was_told = self.told.remove(&(entry.forget_at, job));
            entry.forget_at = moment;
            self.forgetting.insert((moment, job));
            if was_told {
                self.told.insert((moment, job));
            }
        }
    }

    /// Returns the job and notes that a client knows it.
    fn tell(&mut self, job: JobId, now: Timestamp) -> Option<Job> {
        let entry = self.jobs.get(&job)?;
        if entry.is_complete() && entry.record.idempotency.is_none() {
            self.told.insert((entry.forget_at, job));
        }
        Some(entry.job(now))
    }

    /// Makes room for a job, as far as possible.
    fn make_room(&mut self, bytes: usize, max_bytes: usize) -> Result<(), StoreError> {
        while self.bytes.saturating_add(bytes) > max_bytes {
            let Some(&(_, job)) = self.told.first() else {
                return Err(StoreError::Refused(format!(
                    "it is at its limit of bytes of results, {max_bytes} in all"
                )));
            };
            self.forget(job);
        }
        Ok(())
    }

    /// Returns the job's entry if it has missing results and is wanted.
    fn open_job(&mut self, job: JobId, now: Timestamp) -> Option<&mut Entry> {
        self.jobs.get_mut(&job).filter(|entry| !entry.has_ended(now))
    }
}

impl Entry {
    fn new(record: JobRecord) -> Self {
        let key = record.idempotency.as_ref().map_or(0, |idempotency| 2 * idempotency.key.len());
        // Including its entries in the lists of jobs.
        let bytes = 2 * size_of::<Self>() + size_of_val(record.image_ids.as_slice()) + key;
        Self {
            bytes,
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

    /// Returns whether the job was split into a part of this index, or a reopened part got it.
    fn knows(&self, index: u32) -> bool {
        index < self.record.parts || self.successors.values().any(|given| *given == index)
    }

    /// Returns whether the part belongs to the job and has no result.
    fn lacks(&self, index: u32) -> bool {
        self.knows(index) && !self.results.contains_key(&index)
    }

    fn job(&self, now: Timestamp) -> Job {
        let results = self.results.iter().map(|(index, result)| (*index, result.whole())).collect();
        let progress = Progress { begun: self.begun, parts: self.parts, deadline: self.deadline, results };
        Job::assemble(self.record.clone(), progress, now)
    }
}

#[async_trait]
impl Store for InMemoryStore {
    async fn can_write(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn now(&self) -> Timestamp {
        self.moment()
    }

    fn clock_offset(&self) -> Option<i64> {
        let (host, store) = (Timestamp::now(), self.moment());
        let span = i64::try_from(host.since(store).max(store.since(host)).as_millis()).unwrap_or(i64::MAX);
        Some(if host < store { -span } else { span })
    }

    async fn put_job(&self, record: &JobRecord, fleet: Revision) -> Result<Acceptance, StoreError> {
        let now = self.moment();
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
        let entry = Entry::new(record.clone());
        state.make_room(entry.bytes, self.max_bytes)?;
        if let Some(wanted) = &record.idempotency {
            state.idempotency.insert(wanted.key.clone(), record.id);
        }
        state.bytes += entry.bytes;
        state.forgetting.insert((entry.forget_at, record.id));
        state.jobs.insert(record.id, entry);
        Ok(Acceptance::Accepted)
    }

    async fn confirm_job(&self, job: JobId) -> Result<(), StoreError> {
        if let Some(entry) = self.state(self.moment()).jobs.get_mut(&job) {
            entry.confirmed = true;
        }
        Ok(())
    }

    async fn job(&self, job: JobId) -> Result<Option<Job>, StoreError> {
        let now = self.moment();
        Ok(self.state(now).tell(job, now))
    }

    fn watch(&self, job: JobId) -> Watch {
        self.state(self.moment()).watched.begin(job)
    }

    async fn wait(&self, mut watch: Watch, limit: Duration) -> Result<Option<Job>, StoreError> {
        let until = Instant::now() + limit;
        loop {
            let now = self.moment();
            let deadline = {
                let mut state = self.state(now);
                match state.jobs.get(&watch.job()) {
                    None => return Ok(None),
                    Some(entry) if entry.has_ended(now) => return Ok(state.tell(watch.job(), now)),
                    Some(entry) => entry.deadline,
                }
            };
            let moment = until.min(Instant::now() + deadline.since(now));
            if !watch.woken_until(moment).await && moment == until {
                return self.job(watch.job()).await;
            }
        }
    }

    async fn cancel_job(&self, job: JobId) -> Result<bool, StoreError> {
        Ok(self.state(self.moment()).forget(job))
    }

    async fn withdraw_job(&self, job: JobId) -> Result<(), StoreError> {
        let now = self.moment();
        let mut state = self.state(now);
        let told =
            |entry: &Entry| entry.record.idempotency.is_some() && (entry.confirmed || entry.has_ended(now));
        if !state.jobs.get(&job).is_some_and(told) {
            state.forget(job);
        }
        Ok(())
    }

    async fn forget_after(&self, jobs: &[JobId], span: Duration) -> Result<(), StoreError> {
        let now = self.moment();
        let mut state = self.state(now);
        for job in jobs {
            if state.jobs.get(job).is_some_and(Entry::is_complete) {
                state.forget_at(*job, now.after(span));
            }
        }
        Ok(())
    }

    async fn begin_part(&self, part: PartId) -> Result<Wanted, StoreError> {
        let now = self.moment();
        Ok(match self.state(now).open_job(part.job, now) {
            Some(entry) if entry.lacks(part.index) => {
                entry.begun = true;
                Wanted::Yes
            }
            Some(_) | None => Wanted::No,
        })
    }

    async fn put_part(&self, part: PartId, result: &PartResult) -> Result<Stored, StoreError> {
        let now = self.moment();
        let mut state = self.state(now);
        let Some(entry) = state.open_job(part.job, now).filter(|entry| entry.lacks(part.index)) else {
            return Ok(Stored::Ignored);
        };
        let result = Compact::of(result);
        let bytes = result.bytes();
        entry.bytes += bytes;
        entry.results.insert(part.index, result);
        entry.tries.retain(|(index, _), _| *index != part.index);
        let (is_complete, retention) = (entry.is_complete(), entry.record.retention);
        state.bytes += bytes;
        if is_complete {
            let moment = now.after(retention);
            state.forget_at(part.job, moment);
            state.watched.wake(part.job, None);
        }
        Ok(Stored::First)
    }

    async fn begin_try(&self, part: PartId, position: u32) -> Result<u32, StoreError> {
        let now = self.moment();
        let mut state = self.state(now);
        let Some(entry) = state.jobs.get_mut(&part.job).filter(|entry| entry.lacks(part.index)) else {
            return Ok(1);
        };
        let count = entry.tries.entry((part.index, position)).or_default();
        *count = count.saturating_add(1);
        Ok(*count)
    }

    async fn end_try(&self, part: PartId, position: u32) -> Result<(), StoreError> {
        let mut state = self.state(self.moment());
        let tries = state.jobs.get_mut(&part.job).and_then(|job| job.tries.get_mut(&(part.index, position)));
        if let Some(count) = tries {
            *count = count.saturating_sub(1);
        }
        Ok(())
    }

    async fn reopen_part(&self, part: PartId, deadline: Timestamp) -> Result<Option<PartId>, StoreError> {
        let mut state = self.state(self.moment());
        let Some(entry) = state.jobs.get_mut(&part.job).filter(|entry| entry.knows(part.index)) else {
            return Ok(None);
        };
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
        let (moment, forget_at) = (entry.deadline.after(entry.record.retention), entry.forget_at);
        // It is open again.
        state.told.remove(&(forget_at, part.job));
        state.forget_at(part.job, moment);
        Ok(Some(PartId { job: part.job, index }))
    }

    async fn fleet(&self) -> Result<Revised<FleetState>, StoreError> {
        let fleet = self.state(self.moment()).fleet.clone();
        refuse_newer("the fleet's state", fleet.value.version, FleetState::VERSION)?;
        Ok(fleet)
    }

    async fn replace_fleet(
        &self,
        revision: Revision,
        next: &FleetState,
        not_after: Option<Timestamp>,
    ) -> Result<Replacement, StoreError> {
        let now = self.moment();
        let mut state = self.state(now);
        if not_after.is_some_and(|last| now > last) {
            return Ok(Replacement::TooLate);
        }
        if state.fleet.revision != revision {
            return Ok(Replacement::Changed);
        }
        let revision = Revision::random();
        state.fleet = Revised { revision, value: next.clone() };
        Ok(Replacement::Done(revision))
    }

    async fn report_worker(&self, report: &WorkerReport, ttl: Duration) -> Result<(), StoreError> {
        let until = Instant::now() + ttl;
        self.state(self.moment()).workers.insert(report.id.clone(), (report.clone(), until));
        Ok(())
    }

    async fn remove_worker(&self, worker: &WorkerId) -> Result<(), StoreError> {
        self.state(self.moment()).workers.remove(worker);
        Ok(())
    }

    async fn workers(&self) -> Result<Vec<WorkerReport>, StoreError> {
        let now = Instant::now();
        let mut state = self.state(self.moment());
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
                top_k: None,
                idempotency: Some(Idempotency { key: number.to_string(), request: [0; 32] }),
                client: None,
                file_names: None,
            };
            store.put_job(&record, Revision::NONE).await.unwrap();
        }
        store.can_write().await.unwrap();
        let state = store.state(Timestamp::now());
        assert_eq!(state.bytes, 0);
        assert!(state.jobs.is_empty() && state.forgetting.is_empty() && state.idempotency.is_empty());
    }
}
