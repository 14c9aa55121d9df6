//! The store as a process sees it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use common::fleet::{FleetState, WorkerReport};
use common::ids::{JobId, Revision, WorkerId};
use common::messages::{Job, JobRecord, PartId, PartResult, Timestamp};
use common::store::in_memory::InMemoryStore;
use common::store::{Acceptance, Replacement, Revised, Store, StoreError, Stored, Wanted, Watch};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::server::StoreServer;
use super::state::State;
use crate::link::{Link, NoAnswer};

/// Poll interval of a watched job: the notification of its end may be lost while the link is cut.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A process's handle to the store.
pub struct SimulatedStore {
    server: Arc<StoreServer>,
    link: Arc<Link>,
    /// Creates the watches.
    watches: Arc<InMemoryStore>,
}

impl SimulatedStore {
    /// Over this link.
    #[must_use]
    pub fn new(server: Arc<StoreServer>, link: Arc<Link>) -> Arc<Self> {
        Arc::new(Self { server, link, watches: InMemoryStore::new() })
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl Fn(&mut State, Timestamp) -> T + Clone + Send + 'static,
    ) -> Result<T, StoreError> {
        let server = Arc::clone(&self.server);
        self.link
            .call(move || {
                let now = server.now();
                server.read(|state| read(state, now))
            })
            .await
            .map_err(away)
    }

    async fn write<T: Send + 'static>(
        &self,
        write: impl Fn(&mut State, Timestamp) -> T + Clone + Send + 'static,
    ) -> Result<T, StoreError> {
        let server = Arc::clone(&self.server);
        let act = move || {
            let now = server.now();
            server.write(|state| write(state, now))
        };
        self.link.call(act).await.map_err(away)?
    }

    async fn look(&self, job: JobId) -> Result<Option<(Job, Timestamp)>, StoreError> {
        self.read(move |state, now| state.job(job, now)).await
    }
}

fn away(_: NoAnswer) -> StoreError {
    StoreError::Unavailable("no answer in time".to_owned())
}

#[async_trait]
impl Store for SimulatedStore {
    async fn can_write(&self) -> Result<(), StoreError> {
        self.write(|_, _| ()).await
    }

    fn now(&self) -> Timestamp {
        self.server.now()
    }

    fn clock_offset(&self) -> Option<i64> {
        i64::try_from(Timestamp::now().0).ok()?.checked_sub(i64::try_from(self.now().0).ok()?)
    }

    async fn put_job(&self, record: &JobRecord, fleet: Revision) -> Result<Acceptance, StoreError> {
        let (server, record) = (Arc::clone(&self.server), record.clone());
        self.link.call(move || server.put_job(&record, fleet)).await.map_err(away)?
    }

    async fn confirm_job(&self, job: JobId) -> Result<(), StoreError> {
        self.write(move |state, now| state.confirm_job(job, now)).await
    }

    async fn job(&self, job: JobId) -> Result<Option<Job>, StoreError> {
        Ok(self.look(job).await?.map(|(job, _)| job))
    }

    fn watch(&self, job: JobId) -> Watch {
        self.watches.watch(job)
    }

    async fn wait(&self, watch: Watch, limit: Duration) -> Result<Option<Job>, StoreError> {
        let until = Instant::now() + limit;
        let end = self.server.end_of(watch.job());
        loop {
            let ended = end.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            let Some((job, deadline)) = self.look(watch.job()).await? else { return Ok(None) };
            let now = Instant::now();
            if job.is_finished() || now >= until {
                return Ok(Some(job));
            }
            let left = deadline.since(self.now()) + Duration::from_millis(1);
            // In either case, read again.
            let _ = timeout_at(until.min(now + LOOK_AGAIN.min(left)), ended).await;
        }
    }

    async fn cancel_job(&self, job: JobId) -> Result<bool, StoreError> {
        let server = Arc::clone(&self.server);
        let act = move || {
            let known = server.write(|state| state.cancel_job(job));
            server.ended(job);
            known
        };
        self.link.call(act).await.map_err(away)?
    }

    async fn withdraw_job(&self, job: JobId) -> Result<(), StoreError> {
        let server = Arc::clone(&self.server);
        let act = move || {
            let now = server.now();
            let withdrawn = server.write(|state| state.withdraw_job(job, now));
            server.ended(job);
            withdrawn
        };
        self.link.call(act).await.map_err(away)?
    }

    async fn forget_after(&self, jobs: &[JobId], span: Duration) -> Result<(), StoreError> {
        let jobs = jobs.to_vec();
        self.write(move |state, now| state.forget_after(&jobs, span, now)).await
    }

    async fn begin_part(&self, part: PartId) -> Result<Wanted, StoreError> {
        self.write(move |state, now| state.begin_part(part, now)).await
    }

    async fn put_part(&self, part: PartId, result: &PartResult) -> Result<Stored, StoreError> {
        let (server, result) = (Arc::clone(&self.server), result.clone());
        let act = move || {
            let now = server.now();
            let (stored, ends) = server.write(|state| state.put_part(part, &result, now))?;
            if ends {
                server.ended(part.job);
            }
            Ok(stored)
        };
        self.link.call(act).await.map_err(away)?
    }

    async fn begin_try(&self, part: PartId, position: u32) -> Result<u32, StoreError> {
        let call = Uuid::new_v4();
        self.write(move |state, now| state.begin_try(part, position, call, now)).await
    }

    async fn end_try(&self, part: PartId, position: u32) -> Result<(), StoreError> {
        let call = Uuid::new_v4();
        self.write(move |state, now| state.end_try(part, position, call, now)).await
    }

    async fn reopen_part(&self, part: PartId, deadline: Timestamp) -> Result<Option<PartId>, StoreError> {
        self.write(move |state, now| state.reopen_part(part, deadline, now)).await
    }

    async fn fleet(&self) -> Result<Revised<FleetState>, StoreError> {
        self.read(|state, _| state.fleet().clone()).await
    }

    async fn replace_fleet(
        &self,
        revision: Revision,
        next: &FleetState,
        not_after: Option<Timestamp>,
    ) -> Result<Replacement, StoreError> {
        let (server, next, new) = (Arc::clone(&self.server), next.clone(), Revision::random());
        let act = move || server.replace_fleet((revision, new), &next, not_after);
        self.link.call(act).await.map_err(away)?
    }

    async fn report_worker(&self, report: &WorkerReport, ttl: Duration) -> Result<(), StoreError> {
        let report = report.clone();
        self.write(move |state, now| state.report_worker(&report, now.after(ttl))).await
    }

    async fn remove_worker(&self, worker: &WorkerId) -> Result<(), StoreError> {
        let worker = worker.clone();
        self.write(move |state, _| state.remove_worker(&worker)).await
    }

    async fn workers(&self) -> Result<Vec<WorkerReport>, StoreError> {
        self.read(|state, now| state.workers(now)).await
    }
}
