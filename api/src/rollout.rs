//! Runs rollouts: reads the fleet's state, asks [`common::rollout::step`] for the next step, and replaces the state.
//!
//! All state is in the store. If a coordinator dies, its lease expires, and another process's sweeper or any worker
//! ends the rollout.
//!
//! `begin` stores an order while it is valid, `drive` runs a rollout to its end, `sweep` ends abandoned rollouts, and
//! `adopt` decides when the package on the disks replaces one that no worker has any more.

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

/// Poll interval while a request waits for a rollout. The store answers in well under a millisecond, rollouts are rare,
/// and clients notice every delay.
const POLL: Duration = Duration::from_millis(50);

/// Begins rollouts, runs its own ones, and ends abandoned ones.
pub struct Coordinator {
    broker: Arc<dyn Broker>,
    store: Arc<dyn Store>,
    timing: RolloutTiming,
    /// Notified when the state in the store may have changed.
    changed: Notify,
    last_seen: LastSeen,
    /// Cancels all tasks of this coordinator.
    end: CancellationToken,
}

/// A rollout that was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun {
    /// Its unique id.
    pub id: RolloutId,
    /// Its generation, which the model has once it is active.
    pub generation: Generation,
}

/// Why a rollout was not begun.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SwapError {
    /// Another rollout is running.
    #[error("rollout {0} is running, wait until it has ended")]
    Busy(Generation),
    /// There is no previous model.
    #[error("there is no model to go back to: none was active before the present one")]
    NothingToRollBackTo,
    /// The order's time is over. It will not be begun any more.
    #[error("the rollout could not be recorded in time and is not begun any more")]
    TooLate,
    /// The caller has gone. It will not be begun any more.
    #[error("its caller has gone, so the rollout was not begun")]
    GivenUp,
    /// The store failed. If the rollout was stored nevertheless, it is rolled back once its lease expires.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Busy> for SwapError {
    fn from(busy: Busy) -> Self {
        Self::Busy(busy.0)
    }
}

impl Coordinator {
    /// Creates a coordinator over this broker and store.
    #[must_use]
    pub fn new(broker: Arc<dyn Broker>, store: Arc<dyn Store>, timing: RolloutTiming) -> Arc<Self> {
        let (changed, last_seen, end) = (Notify::new(), LastSeen::default(), CancellationToken::new());
        Arc::new(Self { broker, store, timing, changed, last_seen, end })
    }

    /// Begins to roll `target` out, at the latest at `not_after` by the store's clock; a task runs it from there. The
    /// caller has to check that the package exists. If this is dropped before the rollout is stored, the rollout is
    /// never begun.
    ///
    /// # Errors
    /// [`SwapError`], at the latest at `not_after`.
    pub async fn swap(self: &Arc<Self>, target: Target, not_after: Timestamp) -> Result<Begun, SwapError> {
        self.begin(Some(target), not_after).await
    }

    /// Begins to roll out the previous model, like [`Self::swap`].
    ///
    /// # Errors
    /// [`SwapError`], at the latest at `not_after`.
    pub async fn rollback(self: &Arc<Self>, not_after: Timestamp) -> Result<Begun, SwapError> {
        self.begin(None, not_after).await
    }

    /// Waits at most `limit` until a rollout has ended, whichever process runs it, and returns its state. `None` if the
    /// store does not know it any more. While the store is out of reach, it waits.
    ///
    /// # Errors
    /// The store was still out of reach after `limit`.
    pub async fn wait(&self, id: RolloutId, limit: Duration) -> Result<Option<Rollout>, StoreError> {
        let until = Instant::now() + limit;
        loop {
            // Registered before the read, so that no change is missed.
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
            // In either case, read again.
            let _ = timeout(nap, changed).await;
        }
    }

    /// Ends abandoned rollouts of all processes, and rolls out packages that were replaced on every disk, until `stop`.
    pub fn spawn_sweeper(self: &Arc<Self>, stop: CancellationToken) {
        let this = Arc::clone(self);
        self.spawn(async move {
            stop.run_until_cancelled(this.sweep_for_ever()).await;
        });
    }

    /// Abandons everything that was begun here, as a crash of the process would.
    pub fn end(&self) {
        self.end.cancel();
    }

    /// The fleet's state as this process last read it.
    pub(crate) fn last_seen(&self) -> &LastSeen {
        &self.last_seen
    }

    /// Runs a task until it or this coordinator ends.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let end = self.end.clone();
        tokio::spawn(async move {
            end.run_until_cancelled(task).await;
        });
    }

    /// Replaces the document, at the latest at `not_after`, and broadcasts the change. If the result is unknown, the
    /// store is read again.
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

    /// Broadcasts that the document was replaced.
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
        // A broker out of reach must not delay the lease. The broadcast is only a hint: workers read the store with
        // every heartbeat.
        self.spawn(async move {
            if let Err(error) = broker.broadcast(hint).await {
                tracing::debug!(%error, "a hint about the rollout was not sent");
            }
        });
    }
}

/// Returns the rollout with this id, running or ended, while it is remembered.
fn find(fleet: &FleetState, id: RolloutId) -> Option<&Rollout> {
    fleet.rollout.iter().chain(&fleet.history).find(|rollout| rollout.id() == id)
}
