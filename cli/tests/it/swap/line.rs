//! A process's connection to the store, which can be cut.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use common::fleet::{FleetState, WorkerReport};
use common::ids::{JobId, Revision, WorkerId};
use common::messages::{Job, JobRecord, PartId, PartResult, Timestamp};
use common::store::in_memory::InMemoryStore;
use common::store::{Acceptance, Replacement, Revised, Store, StoreError, Stored, Wanted, Watch};
use tokio::sync::watch;

/// The state of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Up,
    /// Calls fail.
    Down,
    /// Calls hang, as in a process that is frozen.
    Frozen,
}

pub(super) struct Line {
    store: Arc<InMemoryStore>,
    state: watch::Sender<State>,
}

impl Line {
    pub(super) fn new(store: &Arc<InMemoryStore>) -> Arc<Self> {
        Arc::new(Self { store: Arc::clone(store), state: watch::channel(State::Up).0 })
    }

    pub(super) fn set(&self, state: State) {
        self.state.send_replace(state);
    }

    async fn through(&self) -> Result<&InMemoryStore, StoreError> {
        let mut state = self.state.subscribe();
        match *state.wait_for(|state| *state != State::Frozen).await.unwrap() {
            State::Up | State::Frozen => Ok(&self.store),
            State::Down => Err(StoreError::Unavailable("the line is down".to_owned())),
        }
    }
}

#[async_trait]
impl Store for Line {
    async fn can_write(&self) -> Result<(), StoreError> {
        self.through().await?.can_write().await
    }

    fn now(&self) -> Timestamp {
        self.store.now()
    }

    fn clock_offset(&self) -> Option<i64> {
        self.store.clock_offset()
    }

    async fn put_job(&self, record: &JobRecord, fleet: Revision) -> Result<Acceptance, StoreError> {
        self.through().await?.put_job(record, fleet).await
    }

    async fn confirm_job(&self, job: JobId) -> Result<(), StoreError> {
        self.through().await?.confirm_job(job).await
    }

    async fn job(&self, job: JobId) -> Result<Option<Job>, StoreError> {
        self.through().await?.job(job).await
    }

    fn watch(&self, job: JobId) -> Watch {
        self.store.watch(job)
    }

    async fn wait(&self, watch: Watch, limit: Duration) -> Result<Option<Job>, StoreError> {
        self.through().await?.wait(watch, limit).await
    }

    async fn cancel_job(&self, job: JobId) -> Result<bool, StoreError> {
        self.through().await?.cancel_job(job).await
    }

    async fn withdraw_job(&self, job: JobId) -> Result<(), StoreError> {
        self.through().await?.withdraw_job(job).await
    }

    async fn forget_after(&self, jobs: &[JobId], span: Duration) -> Result<(), StoreError> {
        self.through().await?.forget_after(jobs, span).await
    }

    async fn begin_part(&self, part: PartId) -> Result<Wanted, StoreError> {
        self.through().await?.begin_part(part).await
    }

    async fn put_part(&self, part: PartId, result: &PartResult) -> Result<Stored, StoreError> {
        self.through().await?.put_part(part, result).await
    }

    async fn begin_try(&self, part: PartId, position: u32) -> Result<u32, StoreError> {
        self.through().await?.begin_try(part, position).await
    }

    async fn end_try(&self, part: PartId, position: u32) -> Result<(), StoreError> {
        self.through().await?.end_try(part, position).await
    }

    async fn reopen_part(&self, part: PartId, deadline: Timestamp) -> Result<Option<PartId>, StoreError> {
        self.through().await?.reopen_part(part, deadline).await
    }

    async fn fleet(&self) -> Result<Revised<FleetState>, StoreError> {
        self.through().await?.fleet().await
    }

    async fn replace_fleet(
        &self,
        revision: Revision,
        next: &FleetState,
        not_after: Option<Timestamp>,
    ) -> Result<Replacement, StoreError> {
        self.through().await?.replace_fleet(revision, next, not_after).await
    }

    async fn report_worker(&self, report: &WorkerReport, ttl: Duration) -> Result<(), StoreError> {
        self.through().await?.report_worker(report, ttl).await
    }

    async fn remove_worker(&self, worker: &WorkerId) -> Result<(), StoreError> {
        self.through().await?.remove_worker(worker).await
    }

    async fn workers(&self) -> Result<Vec<WorkerReport>, StoreError> {
        self.through().await?.workers().await
    }
}
