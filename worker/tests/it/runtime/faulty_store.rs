//! A store with injected faults, and with a clock that differs from this host's.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use common::fleet::{FleetState, WorkerReport};
use common::ids::{JobId, Revision, WorkerId};
use common::messages::{Job, JobRecord, PartId, PartResult, Timestamp};
use common::store::in_memory::InMemoryStore;
use common::store::{Acceptance, Replacement, Revised, Store, StoreError, Stored, Wanted, Watch};
use tokio::sync::mpsc;

use super::bench::Bench;

/// The calls that may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    BeginPart,
    PutPart,
    /// Of the image at this position, or of another count.
    BeginTry(u32),
    /// The same, taken back.
    EndTry(u32),
    Fleet,
}

type FaultInjector = Box<dyn Fn(Call) -> Result<(), StoreError> + Send + Sync>;

/// Wraps a store in memory, and fails where the test says.
pub(crate) struct FaultyStore {
    store: Arc<InMemoryStore>,
    fault: FaultInjector,
    calls: mpsc::UnboundedSender<Call>,
    /// How far its clock is ahead of this host's, in milliseconds.
    ahead: i64,
}

impl FaultyStore {
    /// Also returns the calls as they come.
    pub(crate) fn new(
        bench: &Bench,
        fault: impl Fn(Call) -> Result<(), StoreError> + Send + Sync + 'static,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<Call>) {
        let (calls, hear_calls) = mpsc::unbounded_channel();
        let store = Arc::clone(&bench.store);
        (Arc::new(Self { store, fault: Box::new(fault), calls, ahead: 0 }), hear_calls)
    }

    /// A store that never fails, and whose clock is this many milliseconds ahead of this host's.
    pub(crate) fn with_clock(bench: &Bench, ahead: i64) -> Arc<Self> {
        let store = Arc::clone(&bench.store);
        Arc::new(Self { store, fault: Box::new(|_| Ok(())), calls: mpsc::unbounded_channel().0, ahead })
    }

    fn pass(&self, call: Call) -> Result<(), StoreError> {
        // An error means that the test does not listen.
        let _ = self.calls.send(call);
        (self.fault)(call)
    }
}

/// Returns the error of a store that is out of reach.
pub(crate) fn away() -> Result<(), StoreError> {
    Err(StoreError::Unavailable("cut off".to_owned()))
}

#[async_trait]
impl Store for FaultyStore {
    async fn can_write(&self) -> Result<(), StoreError> {
        self.store.can_write().await
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.store.now().0.saturating_add_signed(self.ahead))
    }

    fn clock_offset(&self) -> Option<i64> {
        Some(-self.ahead)
    }

    async fn put_job(&self, record: &JobRecord, fleet: Revision) -> Result<Acceptance, StoreError> {
        self.store.put_job(record, fleet).await
    }

    async fn confirm_job(&self, job: JobId) -> Result<(), StoreError> {
        self.store.confirm_job(job).await
    }

    async fn job(&self, job: JobId) -> Result<Option<Job>, StoreError> {
        self.store.job(job).await
    }

    fn watch(&self, job: JobId) -> Watch {
        self.store.watch(job)
    }

    async fn wait(&self, watch: Watch, limit: Duration) -> Result<Option<Job>, StoreError> {
        self.store.wait(watch, limit).await
    }

    async fn cancel_job(&self, job: JobId) -> Result<bool, StoreError> {
        self.store.cancel_job(job).await
    }

    async fn withdraw_job(&self, job: JobId) -> Result<(), StoreError> {
        self.store.withdraw_job(job).await
    }

    async fn forget_after(&self, jobs: &[JobId], span: Duration) -> Result<(), StoreError> {
        self.store.forget_after(jobs, span).await
    }

    async fn begin_part(&self, part: PartId) -> Result<Wanted, StoreError> {
        self.pass(Call::BeginPart)?;
        self.store.begin_part(part).await
    }

    async fn put_part(&self, part: PartId, result: &PartResult) -> Result<Stored, StoreError> {
        self.pass(Call::PutPart)?;
        self.store.put_part(part, result).await
    }

    async fn begin_try(&self, part: PartId, position: u32) -> Result<u32, StoreError> {
        self.pass(Call::BeginTry(position))?;
        self.store.begin_try(part, position).await
    }

    async fn end_try(&self, part: PartId, position: u32) -> Result<(), StoreError> {
        self.pass(Call::EndTry(position))?;
        self.store.end_try(part, position).await
    }

    async fn reopen_part(&self, part: PartId, deadline: Timestamp) -> Result<Option<PartId>, StoreError> {
        self.store.reopen_part(part, deadline).await
    }

    async fn fleet(&self) -> Result<Revised<FleetState>, StoreError> {
        self.pass(Call::Fleet)?;
        self.store.fleet().await
    }

    async fn replace_fleet(
        &self,
        revision: Revision,
        next: &FleetState,
        not_after: Option<Timestamp>,
    ) -> Result<Replacement, StoreError> {
        self.store.replace_fleet(revision, next, not_after).await
    }

    async fn report_worker(&self, report: &WorkerReport, ttl: Duration) -> Result<(), StoreError> {
        self.store.report_worker(report, ttl).await
    }

    async fn remove_worker(&self, worker: &WorkerId) -> Result<(), StoreError> {
        self.store.remove_worker(worker).await
    }

    async fn workers(&self) -> Result<Vec<WorkerReport>, StoreError> {
        self.store.workers().await
    }
}
