//! Runs rollouts: reads the fleet's state, asks [`common::rollout::step`] what comes next, replaces it.
//!
//! Everything that matters is in the store. A coordinator that dies leaves a lease behind that runs out,
//! and any other process' sweeper, or any worker, ends the rollout then.
//!
//! `begin` records an order while it stands, `drive` takes a rollout to its end, `sweep` looks after what others left
//! behind, and `adopt` decides when the package on the disks takes the place of one that nobody has any more.

mod adopt;
mod begin;
mod drive;
mod failure;
mod sweep;

use std::sync::Arc;
use std::time::Duration;

use common::broker::{Broker, Hint};
use common::fleet::{FleetState, Rollout};
use common::ids::{Generation, RolloutId};
use common::messages::Timestamp;
use common::rollout::Busy;
use common::store::{Replacement, Revised, Store, StoreError};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

pub(crate) use self::failure::failure_detail;
use crate::last_seen::LastSeen;

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
    last_seen: LastSeen,
    /// Ends every task that was begun here.
    end: CancellationToken,
}

/// A rollout that was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun {
    /// Names it among all there ever were.
    pub id: RolloutId,
    /// Names it for people, and its model once it is active.
    pub generation: Generation,
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
    /// The time until which it was wanted is over. It is not begun any more.
    #[error("the rollout could not be recorded in time and is not begun any more")]
    TooLate,
    /// Whoever wanted it has gone. It is not begun any more.
    #[error("nobody waits for the rollout any more, so it was not begun")]
    GivenUp,
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
        let (changed, last_seen, end) = (Notify::new(), LastSeen::default(), CancellationToken::new());
        Arc::new(Self { broker, store, timing, changed, last_seen, end })
    }

    /// Begins to roll `target` out, at the latest at `not_after` by the store's clock; a task drives it from there. The
    /// target is taken as given: that the package exists is the caller's to check. Dropped before the rollout is
    /// recorded, it is not begun any more.
    ///
    /// # Errors
    /// [`SwapError`], at the latest at `not_after`.
    pub async fn swap(self: &Arc<Self>, target: Target, not_after: Timestamp) -> Result<Begun, SwapError> {
        self.begin(Some(target), not_after).await
    }

    /// Begins to roll out the model that was active before, like [`Self::swap`].
    ///
    /// # Errors
    /// [`SwapError`], at the latest at `not_after`.
    pub async fn rollback(self: &Arc<Self>, not_after: Timestamp) -> Result<Begun, SwapError> {
        self.begin(None, not_after).await
    }

    /// Waits until a rollout has ended, whoever runs it, at most `limit`; returns it as it stands then.
    /// `None` if the store does not know it, or not any more. A store that is away for a while is waited for.
    ///
    /// # Errors
    /// The store was out of reach when the time was up.
    pub async fn wait(&self, id: RolloutId, limit: Duration) -> Result<Option<Rollout>, StoreError> {
        let until = Instant::now() + limit;
        loop {
            // Registered before the look, so that no change falls in between.
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let found = self.store.fleet().await.map(|fleet| find(&fleet.value, id).cloned());
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

    /// Looks after rollouts whose coordinator died, wherever that was, and after a fleet whose active package was
    /// replaced on every disk, until `stop`.
    pub fn spawn_sweeper(self: &Arc<Self>, stop: CancellationToken) {
        let this = Arc::clone(self);
        self.spawn(async move {
            stop.run_until_cancelled(this.sweep_for_ever()).await;
        });
    }

    /// Leaves everything that was begun here to others, as the death of the process would.
    pub fn end(&self) {
        self.end.cancel();
    }

    /// What this process saw of the fleet's state.
    pub(crate) fn last_seen(&self) -> &LastSeen {
        &self.last_seen
    }

    /// Runs a task until its end or that of this coordinator.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let end = self.end.clone();
        tokio::spawn(async move {
            end.run_until_cancelled(task).await;
        });
    }

    /// Replaces the document, where it is told at the latest at `not_after`, and tells everyone. When the store leaves
    /// open whether it did, the store is asked.
    async fn replace(
        &self,
        fleet: &Revised<FleetState>,
        next: &FleetState,
        not_after: Option<Timestamp>,
    ) -> Result<Replacement, StoreError> {
        let replaced = match self.store.replace_fleet(fleet.revision, next, not_after).await {
            Ok(replacement) => replacement,
            Err(error @ (StoreError::Refused(_) | StoreError::Malformed(_))) => return Err(error),
            Err(error @ StoreError::Unavailable(_)) => match self.store.fleet().await {
                Ok(now) if now.value == *next => Replacement::Done(now.revision),
                Ok(_) | Err(_) => return Err(error),
            },
        };
        if replaced.done().is_some() {
            self.replaced(&fleet.value, next);
        }
        Ok(replaced)
    }

    /// The document was replaced: tells those whom it concerns.
    fn replaced(&self, before: &FleetState, next: &FleetState) {
        if next.active != before.active {
            self.last_seen.forget();
        }
        let phase = |state: &FleetState| state.rollout.as_ref().map(|rollout| rollout.phase.clone());
        if phase(next) == phase(before) && next.generation == before.generation {
            return;
        }
        self.changed.notify_waiters();
        let (broker, hint) = (Arc::clone(&self.broker), Hint::FleetChanged(next.generation));
        // A broker that is away must not hold up the lease, and it is only a hint: workers look into
        // the store with every heartbeat.
        self.spawn(async move {
            if let Err(error) = broker.broadcast(hint).await {
                tracing::debug!(%error, "a hint about the rollout was not sent");
            }
        });
    }
}

/// The rollout with this id, running or ended, while it is remembered.
fn find(fleet: &FleetState, id: RolloutId) -> Option<&Rollout> {
    fleet.rollout.iter().chain(&fleet.history).find(|rollout| rollout.id() == id)
}
