//! A broker and a store that can be switched off, and what clients see then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use common::broker::in_process::InProcessBroker;
use common::broker::{Broker, BrokerError, Consumer, DeadLetter, Exhumed, Hint, Listener, QueueDepth};
use common::fleet::{FleetState, WorkerReport};
use common::ids::{JobId, WorkerId};
use common::messages::{Job, JobRecord, Part, PartId, PartResult, Timestamp};
use common::store::in_memory::InMemoryStore;
use common::store::{Acceptance, Revised, Store, StoreError, Stored, Wanted, Watch};

use crate::harness::{Answer, Server};

pub(crate) struct SwitchedBroker {
    inner: Arc<InProcessBroker>,
    off: AtomicBool,
}

pub(crate) struct SwitchedStore {
    inner: Arc<InMemoryStore>,
    off: AtomicBool,
}

impl SwitchedBroker {
    pub(crate) fn new(inner: Arc<InProcessBroker>) -> Arc<Self> {
        Arc::new(Self { inner, off: AtomicBool::new(false) })
    }

    pub(crate) fn switch(&self, on: bool) {
        self.off.store(!on, Ordering::SeqCst);
    }

    fn on(&self) -> Result<&InProcessBroker, BrokerError> {
        if self.off.load(Ordering::SeqCst) {
            return Err(BrokerError::Unavailable("switched off".to_owned()));
        }
        Ok(&self.inner)
    }
}

impl SwitchedStore {
    pub(crate) fn new(inner: Arc<InMemoryStore>) -> Arc<Self> {
        Arc::new(Self { inner, off: AtomicBool::new(false) })
    }

    pub(crate) fn switch(&self, on: bool) {
        self.off.store(!on, Ordering::SeqCst);
    }

    fn on(&self) -> Result<&InMemoryStore, StoreError> {
        if self.off.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("switched off".to_owned()));
        }
        Ok(&self.inner)
    }
}

#[async_trait]
impl Broker for SwitchedBroker {
    async fn ping(&self) -> Result<(), BrokerError> {
        self.on()?.ping().await
    }
    async fn publish(&self, part: Part) -> Result<(), BrokerError> {
        self.on()?.publish(part).await
    }
    async fn consume(&self, prefetch: u16) -> Result<Box<dyn Consumer>, BrokerError> {
        self.on()?.consume(prefetch).await
    }
    async fn depth(&self) -> Result<QueueDepth, BrokerError> {
        self.on()?.depth().await
    }
    async fn broadcast(&self, hint: Hint) -> Result<(), BrokerError> {
        self.on()?.broadcast(hint).await
    }
    async fn listen(&self) -> Result<Box<dyn Listener>, BrokerError> {
        self.on()?.listen().await
    }
    async fn bury(&self, part: Part, reason: &str) -> Result<(), BrokerError> {
        self.on()?.bury(part, reason).await
    }
    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, BrokerError> {
        self.on()?.dead_letters(limit).await
    }
    async fn exhume(&self, which: Option<PartId>) -> Result<Vec<Exhumed>, BrokerError> {
        self.on()?.exhume(which).await
    }
}

#[async_trait]
impl Store for SwitchedStore {
    async fn ping(&self) -> Result<(), StoreError> {
        self.on()?.ping().await
    }
    async fn put_job(&self, record: &JobRecord, fleet: u64) -> Result<Acceptance, StoreError> {
        self.on()?.put_job(record, fleet).await
    }
    async fn confirm_job(&self, job: JobId) -> Result<(), StoreError> {
        self.on()?.confirm_job(job).await
    }
    async fn job(&self, job: JobId) -> Result<Option<Job>, StoreError> {
        self.on()?.job(job).await
    }
    fn watch(&self, job: JobId) -> Watch {
        self.inner.watch(job)
    }
    async fn wait(&self, watch: Watch, limit: Duration) -> Result<Option<Job>, StoreError> {
        self.on()?.wait(watch, limit).await
    }
    async fn cancel_job(&self, job: JobId) -> Result<bool, StoreError> {
        self.on()?.cancel_job(job).await
    }
    async fn forget_after(&self, jobs: &[JobId], span: Duration) -> Result<(), StoreError> {
        self.on()?.forget_after(jobs, span).await
    }
    async fn begin_part(&self, part: PartId) -> Result<Wanted, StoreError> {
        self.on()?.begin_part(part).await
    }
    async fn put_part(&self, part: PartId, result: &PartResult) -> Result<Stored, StoreError> {
        self.on()?.put_part(part, result).await
    }
    async fn begin_try(&self, part: PartId, position: u32) -> Result<u32, StoreError> {
        self.on()?.begin_try(part, position).await
    }
    async fn end_try(&self, part: PartId, position: u32) -> Result<(), StoreError> {
        self.on()?.end_try(part, position).await
    }
    async fn reopen_part(&self, part: PartId, deadline: Timestamp) -> Result<Option<PartId>, StoreError> {
        self.on()?.reopen_part(part, deadline).await
    }
    async fn fleet(&self) -> Result<Revised<FleetState>, StoreError> {
        self.on()?.fleet().await
    }
    async fn replace_fleet(&self, revision: u64, next: &FleetState) -> Result<Option<u64>, StoreError> {
        self.on()?.replace_fleet(revision, next).await
    }
    async fn report_worker(&self, report: &WorkerReport, ttl: Duration) -> Result<(), StoreError> {
        self.on()?.report_worker(report, ttl).await
    }
    async fn remove_worker(&self, worker: &WorkerId) -> Result<(), StoreError> {
        self.on()?.remove_worker(worker).await
    }
    async fn workers(&self) -> Result<Vec<WorkerReport>, StoreError> {
        self.on()?.workers().await
    }
}

#[tokio::test]
async fn a_broker_out_of_reach_is_503_and_leaves_no_job_behind() {
    let (server, _worker) = Server::ready(&[]).await;
    server.broker.switch(false);
    let answer = Answer::of(server.predict(&["dog"]).header("Idempotency-Key", "k")).await;
    answer.is_problem(503, "broker_unavailable", "broker");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    Answer::of(server.get("/classifier/dead-letters")).await.is_problem(503, "broker_unavailable", "broker");

    server.broker.switch(true);
    // The key is free again: the refused job was cancelled.
    assert_eq!(Answer::of(server.predict(&["cat"]).header("Idempotency-Key", "k")).await.status, 200);
}

#[tokio::test]
async fn a_store_out_of_reach_is_503() {
    let (server, _worker) = Server::ready(&[]).await;
    server.store.switch(false);
    for request in [
        server.predict(&["dog"]),
        server.get("/classifier/predictions/5f0c1b9e-7d0c-4a53-9f8e-0d6a3f1c2b4d"),
        server.delete("/classifier/predictions/5f0c1b9e-7d0c-4a53-9f8e-0d6a3f1c2b4d"),
        server.put("/classifier/prediction-service/pets"),
        server.get("/classifier/prediction-service"),
        server.get("/classifier/prediction-service/rollouts/1"),
        server.get("/classifier/models"),
    ] {
        let answer = Answer::of(request).await;
        answer.is_problem(503, "store_unavailable", "store");
        assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    }
    server.store.switch(true);
    server.still_answers().await;
}

#[tokio::test]
async fn readiness_tells_each_check() {
    let server = Server::bare(&[]).await;
    let ready = || server.client.get(format!("http://{}/health/ready", server.address));
    let body = Answer::of(ready()).await.is_problem(503, "not_ready", "none of 0 workers is ready");
    assert_eq!(body["checks"]["broker"], "ok");
    assert_eq!(body["checks"]["store"], "ok");

    let _worker = server.add_worker("w1").await;
    let answer = Answer::of(ready()).await;
    assert_eq!((answer.status.as_u16(), answer.json()["status"].as_str()), (200, Some("ready")));

    server.broker.switch(false);
    server.store.switch(false);
    let body = Answer::of(ready()).await.is_problem(503, "not_ready", "switched off");
    for check in ["broker", "store", "workers"] {
        assert!(body["checks"][check].as_str().unwrap().contains("switched off"), "{body}");
    }
    // Alive all the same: starting it anew would mend nothing.
    let live = server.client.get(format!("http://{}/health/live", server.address));
    assert_eq!(Answer::of(live).await.status, 200);
}
