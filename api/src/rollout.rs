//! Runs rollouts: reads the fleet's state, asks [`common::rollout::step`] what comes next, replaces it.
//!
//! Everything that matters is in the store. A coordinator that dies leaves a lease behind that runs out,
//! and any other process' sweeper, or any worker, ends the rollout then.

mod drive;

use std::sync::Arc;
use std::time::Duration;

use common::broker::{Broker, Hint};
use common::fleet::{FleetState, Rollout};
use common::ids::Generation;
use common::messages::Timestamp;
use common::rollout::{self, Busy};
use common::store::{Revised, Store, StoreError};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use common::rollout::{RolloutTiming, Target};

/// How often the store is looked at while somebody waits for a rollout. A store answers in well under a
/// millisecond, rollouts are rare, and the caller feels every delay.
const POLL: Duration = Duration::from_millis(50);

/// Begins rollouts, drives those it began, and ends those that others left behind.
pub struct Coordinator {
    broker: Arc<dyn Broker>,
    store: Arc<dyn Store>,
    timing: RolloutTiming,
    /// Something may have changed in the store.
    changed: Notify,
}

/// Why a rollout was not begun.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SwapError {
    /// Another rollout is running: this one.
    #[error("rollout {0} is running, wait until it has ended")]
    Busy(Generation),
    /// No other model was active before.
    #[error("there is no model to go back to: none was active before the present one")]
    NothingToRollBackTo,
    /// The store failed. Should the rollout have been recorded nevertheless, it is rolled back once its
    /// lease is over.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Busy> for SwapError {
    fn from(busy: Busy) -> Self {
        Self::Busy(busy.0)
    }
}

impl Coordinator {
    /// A coordinator over this broker and store.
    #[must_use]
    pub fn new(broker: Arc<dyn Broker>, store: Arc<dyn Store>, timing: RolloutTiming) -> Arc<Self> {
        Arc::new(Self { broker, store, timing, changed: Notify::new() })
    }

    /// Begins to roll `target` out and returns its generation; a task drives it from there. The target is
    /// taken as given: that the package exists is the caller's to check.
    ///
    /// # Errors
    /// [`SwapError::Busy`] and [`SwapError::Store`].
    pub async fn swap(self: &Arc<Self>, target: Target) -> Result<Generation, SwapError> {
        self.begin(Some(target)).await
    }

    /// Begins to roll out the model that was active before.
    ///
    /// # Errors
    /// [`SwapError`].
    pub async fn rollback(self: &Arc<Self>) -> Result<Generation, SwapError> {
        self.begin(None).await
    }

    /// Waits until a rollout has ended, whoever runs it, at most `limit`; returns it as it stands then.
    /// `None` if there is none with this generation, or it is forgotten. A store that is away for a while
    /// is waited for.
    ///
    /// # Errors
    /// The store was out of reach when the time was up.
    pub async fn wait(&self, generation: Generation, limit: Duration) -> Result<Option<Rollout>, StoreError> {
        let until = Instant::now() + limit;
        loop {
            // Registered before the look, so that no change falls in between.
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let found = self.store.fleet().await.map(|fleet| fleet.value.rollout_of(generation).cloned());
            let over = Instant::now() >= until;
            match found {
                Ok(Some(rollout)) if !rollout.is_ended() && !over => {}
                Err(_) if !over => {}
                Ok(_) | Err(_) => return found,
            }
            let nap = POLL.min(until.saturating_duration_since(Instant::now()));
            // Either way, look again.
            let _ = timeout(nap, changed).await;
        }
    }

    /// Ends rollouts whose coordinator died, wherever that was, until `stop`.
    pub fn spawn_sweeper(self: &Arc<Self>, stop: CancellationToken) {
        let this = Arc::clone(self);
        tokio::spawn(async move { stop.run_until_cancelled(this.sweep_for_ever()).await });
    }

    async fn begin(self: &Arc<Self>, target: Option<Target>) -> Result<Generation, SwapError> {
        let this = Arc::clone(self);
        // A task of its own: a caller that hangs up must not leave a rollout that nobody drives.
        let begun = tokio::spawn(async move { this.begin_and_drive(target).await }).await;
        begun.unwrap_or_else(|error| {
            Err(SwapError::Store(StoreError::Unavailable(format!(
                "beginning the rollout was cut off: {error}"
            ))))
        })
    }

    async fn begin_and_drive(self: Arc<Self>, target: Option<Target>) -> Result<Generation, SwapError> {
        let id = Uuid::new_v4();
        loop {
            let fleet = self.store.fleet().await?;
            let target = match &target {
                Some(target) => target.clone(),
                None => rollout::rollback_target(&fleet.value).ok_or(SwapError::NothingToRollBackTo)?,
            };
            let next = rollout::begin(&fleet.value, target, id, Timestamp::now(), self.timing)?;
            if self.replace(&fleet, &next).await? {
                let generation = next.generation;
                let rollout = next.rollout.as_ref();
                tracing::info!(
                    generation = generation.0,
                    model = rollout.map(|r| r.target.name.as_str()),
                    version = rollout.map(|r| r.target.version.short()),
                    "rollout begins"
                );
                tokio::spawn(async move { self.drive(id, generation).await });
                return Ok(generation);
            }
        }
    }

    /// Replaces the document and tells everyone; whether nobody else was faster. When the store leaves
    /// open whether it did, the store is asked.
    async fn replace(&self, fleet: &Revised<FleetState>, next: &FleetState) -> Result<bool, StoreError> {
        let replaced = match self.store.replace_fleet(fleet.revision, next).await {
            Ok(revision) => revision.is_some(),
            Err(error) => match self.store.fleet().await {
                Ok(now) => now.value == *next,
                Err(_) => return Err(error),
            },
        };
        let news = next.rollout.as_ref().map(|r| &r.phase) != fleet.value.rollout.as_ref().map(|r| &r.phase);
        if replaced && (news || next.generation != fleet.value.generation) {
            self.changed.notify_waiters();
            let (broker, hint) = (Arc::clone(&self.broker), Hint::FleetChanged(next.generation));
            // A broker that is away must not hold up the lease, and it is only a hint: workers look into
            // the store with every heartbeat.
            tokio::spawn(async move {
                if let Err(error) = broker.broadcast(hint).await {
                    tracing::debug!(%error, "a hint about the rollout was not sent");
                }
            });
        }
        Ok(replaced)
    }
}
