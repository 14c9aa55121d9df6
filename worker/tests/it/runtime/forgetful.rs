//! A store that takes no results.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use common::fleet::{FleetState, WorkerReport};
use common::ids::{JobId, WorkerId};
use common::messages::{Job, JobRecord, PartId, PartResult, Timestamp};
use common::store::in_memory::InMemoryStore;
use common::store::{Acceptance, Revised, Store, StoreError, Stored, Wanted, Watch};
use tokio::sync::mpsc;

use super::bench::Bench;

/// Everything but results goes through.
pub(crate) struct Forgetful {
    store: Arc<InMemoryStore>,
    refused: mpsc::UnboundedSender<PartId>,
}

impl Forgetful {
    /// Also gives the parts whose results it refused, as they come.
    pub(crate) fn new(bench: &Bench) -> (Arc<Self>, mpsc::UnboundedReceiver<PartId>) {
        let (refused, hear_refused) = mpsc::unbounded_channel();
        (Arc::new(Self { store: Arc::clone(&bench.store), refused }), hear_refused)
    }
}

#[async_trait]
impl Store for Forgetful {
    async fn put_part(&self, part: PartId, _result: &PartResult) -> Result<Stored, StoreError> {
        self.refused.send(part).unwrap();
        Err(StoreError::Unavailable("it takes no results".to_owned()))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.store.ping().await
    }

    async fn put_job(&self, record: &JobRecord, fleet: u64) -> Result<Acceptance, StoreError> {
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

    async fn forget_after(&self, jobs: &[JobId], span: Duration) -> Result<(), StoreError> {
        self.store.forget_after(jobs, span).await
    }

    async fn begin_part(&self, part: PartId) -> Result<Wanted, StoreError> {
        self.store.begin_part(part).await
    }

    async fn begin_try(&self, part: PartId, position: u32) -> Result<u32, StoreError> {
        self.store.begin_try(part, position).await
    }

    async fn end_try(&self, part: PartId, position: u32) -> Result<(), StoreError> {
        self.store.end_try(part, position).await
    }

    async fn reopen_part(&self, part: PartId, deadline: Timestamp) -> Result<Option<PartId>, StoreError> {
        self.store.reopen_part(part, deadline).await
    }

    async fn fleet(&self) -> Result<Revised<FleetState>, StoreError> {
        self.store.fleet().await
    }

    async fn replace_fleet(&self, revision: u64, next: &FleetState) -> Result<Option<u64>, StoreError> {
        self.store.replace_fleet(revision, next).await
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
