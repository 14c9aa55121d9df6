//! A broker and a store with injected faults.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use common::broker::in_process::InProcessBroker;
use common::broker::{
    Broker, BrokerError, Consumer, DeadLetter, Hint, Listener, QueueDepth, TakenDeadLetter, WhichLetters,
};
use common::fleet::{FleetState, WorkerReport};
use common::ids::{JobId, Revision, WorkerId};
use common::messages::{Job, JobRecord, Part, PartId, PartResult, Timestamp};
use common::store::in_memory::InMemoryStore;
use common::store::{Acceptance, Replacement, Revised, Store, StoreError, Stored, Wanted, Watch};
use tokio::sync::{Mutex, watch};

/// How a server handles calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Up,
    /// Calls fail with a temporary error.
    Away,
    /// Calls fail with a permanent error.
    Refusing,
    /// Calls wait until the server is up. A dropped call never arrives.
    Hanging,
    /// As hanging, but a dropped call arrives nevertheless.
    Late,
}

/// A switch with the current mode.
struct Switch(watch::Sender<Mood>);

impl Switch {
    fn up() -> Self {
        Self(watch::channel(Mood::Up).0)
    }

    fn set(&self, mood: Mood) {
        self.0.send_replace(mood);
    }

    /// Returns the mode once it does not make callers wait.
    async fn passed(&self) -> Mood {
        let mut mood = self.0.subscribe();
        *mood.wait_for(|mood| !matches!(mood, Mood::Hanging | Mood::Late)).await.unwrap()
    }
}

pub(crate) struct SwitchedBroker {
    inner: Arc<InProcessBroker>,
    switch: Switch,
}

impl SwitchedBroker {
    pub(crate) fn new(inner: Arc<InProcessBroker>) -> Arc<Self> {
        Arc::new(Self { inner, switch: Switch::up() })
    }

    pub(crate) fn is(&self, mood: Mood) {
        self.switch.set(mood);
    }

    async fn on(&self) -> Result<&InProcessBroker, BrokerError> {
        match self.switch.passed().await {
            Mood::Refusing => Err(BrokerError::Refused("memory alarm".to_owned())),
            Mood::Away => Err(BrokerError::Unavailable("switched off".to_owned())),
            Mood::Up | Mood::Hanging | Mood::Late => Ok(&self.inner),
        }
    }
}

/// Has its own copy of the fleet's document, so that a test can restore an older one.
pub(crate) struct SwitchedStore {
    itself: Weak<Self>,
    inner: Arc<InMemoryStore>,
    document: Mutex<Revised<FleetState>>,
    all: Switch,
    writes: Switch,
    cancels: Switch,
    /// How far its clock is ahead, in milliseconds.
    ahead: AtomicU64,
    /// Another process replaces the document between every read and its replacement.
    outruns: AtomicBool,
}

impl SwitchedStore {
    pub(crate) fn new(inner: Arc<InMemoryStore>) -> Arc<Self> {
        let (all, writes, cancels) = (Switch::up(), Switch::up(), Switch::up());
        let document = Mutex::new(Revised::default());
        Arc::new_cyclic(|itself| {
            let (ahead, outruns) = (AtomicU64::new(0), AtomicBool::new(false));
            Self { itself: itself.clone(), inner, document, all, writes, cancels, ahead, outruns }
        })
    }

    pub(crate) fn is(&self, mood: Mood) {
        self.all.set(mood);
    }

    pub(crate) fn writes_are(&self, mood: Mood) {
        self.writes.set(mood);
    }

    pub(crate) fn cancels_are(&self, mood: Mood) {
        self.cancels.set(mood);
    }

    pub(crate) fn set_ahead(&self, span: Duration) {
        self.ahead.store(u64::try_from(span.as_millis()).unwrap(), Ordering::SeqCst);
    }

    pub(crate) fn outruns_everyone(&self) {
        self.outruns.store(true, Ordering::SeqCst);
    }

    /// Restores this document.
    pub(crate) async fn restore(&self, document: Revised<FleetState>) {
        *self.document.lock().await = document;
    }

    async fn through(&self, switch: &Switch) -> Result<&InMemoryStore, StoreError> {
        for mood in [self.all.passed().await, switch.passed().await] {
            match mood {
                Mood::Up | Mood::Hanging | Mood::Late => {}
                Mood::Refusing => return Err(StoreError::Refused("OOM".to_owned())),
                Mood::Away => return Err(StoreError::Unavailable("switched off".to_owned())),
            }
        }
        Ok(&self.inner)
    }

    async fn on(&self) -> Result<&InMemoryStore, StoreError> {
        self.through(&Switch::up()).await
    }

    async fn write(&self) -> Result<&InMemoryStore, StoreError> {
        self.through(&self.writes).await
    }

    async fn replace(
        &self,
        revision: Revision,
        next: FleetState,
        not_after: Option<Timestamp>,
    ) -> Result<Replacement, StoreError> {
        self.write().await?;
        let mut document = self.document.lock().await;
        if not_after.is_some_and(|last| self.now() > last) {
            return Ok(Replacement::TooLate);
        }
        if document.revision != revision || self.outruns.load(Ordering::SeqCst) {
            return Ok(Replacement::Changed);
        }
        *document = Revised { revision: Revision::random(), value: next };
        Ok(Replacement::Done(document.revision))
    }

    /// Returns a handle to the running calls.
    fn same(&self) -> Arc<Self> {
        self.itself.upgrade().unwrap()
    }
}

#[async_trait]
impl Broker for SwitchedBroker {
    async fn can_publish(&self) -> Result<(), BrokerError> {
        self.on().await?.can_publish().await
    }
    async fn publish(&self, part: Part) -> Result<(), BrokerError> {
        self.on().await?.publish(part).await
    }
    async fn consume(&self, prefetch: u16) -> Result<Box<dyn Consumer>, BrokerError> {
        self.on().await?.consume(prefetch).await
    }
    async fn depth(&self) -> Result<QueueDepth, BrokerError> {
        self.on().await?.depth().await
    }
    async fn broadcast(&self, hint: Hint) -> Result<(), BrokerError> {
        self.on().await?.broadcast(hint).await
    }
    async fn listen(&self) -> Result<Box<dyn Listener>, BrokerError> {
        self.on().await?.listen().await
    }
    async fn dead_letter(&self, part: Part, reason: &str) -> Result<(), BrokerError> {
        self.on().await?.dead_letter(part, reason).await
    }
    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, BrokerError> {
        self.on().await?.dead_letters(limit).await
    }
    async fn take_dead_letters(&self, which: WhichLetters) -> Result<Vec<TakenDeadLetter>, BrokerError> {
        self.on().await?.take_dead_letters(which).await
    }
}

#[async_trait]
impl Store for SwitchedStore {
    async fn can_write(&self) -> Result<(), StoreError> {
        self.write().await?.can_write().await
    }

    fn now(&self) -> Timestamp {
        self.inner.now().after(Duration::from_millis(self.ahead.load(Ordering::SeqCst)))
    }

    fn clock_offset(&self) -> Option<i64> {
        self.inner.clock_offset()
    }
    async fn put_job(&self, record: &JobRecord, fleet: Revision) -> Result<Acceptance, StoreError> {
        let inner = self.write().await?;
        let document = self.document.lock().await;
        // The inner store's own document was never written; it refuses any other revision.
        let known = if document.revision == fleet { Revision::NONE } else { Revision::random() };
        inner.put_job(record, known).await
    }
    async fn confirm_job(&self, job: JobId) -> Result<(), StoreError> {
        self.on().await?.confirm_job(job).await
    }
    async fn job(&self, job: JobId) -> Result<Option<Job>, StoreError> {
        self.on().await?.job(job).await
    }
    fn watch(&self, job: JobId) -> Watch {
        self.inner.watch(job)
    }
    async fn wait(&self, watch: Watch, limit: Duration) -> Result<Option<Job>, StoreError> {
        self.on().await?.wait(watch, limit).await
    }
    async fn cancel_job(&self, job: JobId) -> Result<bool, StoreError> {
        self.through(&self.cancels).await?.cancel_job(job).await
    }
    async fn withdraw_job(&self, job: JobId) -> Result<(), StoreError> {
        self.through(&self.cancels).await?.withdraw_job(job).await
    }
    async fn forget_after(&self, jobs: &[JobId], span: Duration) -> Result<(), StoreError> {
        self.on().await?.forget_after(jobs, span).await
    }
    async fn begin_part(&self, part: PartId) -> Result<Wanted, StoreError> {
        self.on().await?.begin_part(part).await
    }
    async fn put_part(&self, part: PartId, result: &PartResult) -> Result<Stored, StoreError> {
        self.on().await?.put_part(part, result).await
    }
    async fn begin_try(&self, part: PartId, position: u32) -> Result<u32, StoreError> {
        self.on().await?.begin_try(part, position).await
    }
    async fn end_try(&self, part: PartId, position: u32) -> Result<(), StoreError> {
        self.on().await?.end_try(part, position).await
    }
    async fn reopen_part(&self, part: PartId, deadline: Timestamp) -> Result<Option<PartId>, StoreError> {
        self.on().await?.reopen_part(part, deadline).await
    }
    async fn fleet(&self) -> Result<Revised<FleetState>, StoreError> {
        self.on().await?;
        Ok(self.document.lock().await.clone())
    }
    async fn replace_fleet(
        &self,
        revision: Revision,
        next: &FleetState,
        not_after: Option<Timestamp>,
    ) -> Result<Replacement, StoreError> {
        let (this, next) = (self.same(), next.clone());
        if *self.writes.0.borrow() == Mood::Late {
            let arrives = tokio::spawn(async move { this.replace(revision, next, not_after).await });
            return arrives.await.unwrap();
        }
        this.replace(revision, next, not_after).await
    }
    async fn report_worker(&self, report: &WorkerReport, ttl: Duration) -> Result<(), StoreError> {
        self.on().await?.report_worker(report, ttl).await
    }
    async fn remove_worker(&self, worker: &WorkerId) -> Result<(), StoreError> {
        self.on().await?.remove_worker(worker).await
    }
    async fn workers(&self) -> Result<Vec<WorkerReport>, StoreError> {
        self.on().await?.workers().await
    }
}
