//! Turns an order into a rollout while the order is valid.
//!
//! A rollout begins while its caller waits and before the caller's deadline, or never. The store refuses later writes.

use std::sync::Arc;
use std::time::Duration;

use common::fleet::FleetState;
use common::ids::RolloutId;
use common::messages::Timestamp;
use common::rollout;
use common::store::{Replacement, StoreError};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Begun, Coordinator, SwapError, Target, find};

/// How long the store is asked whether an interrupted attempt was stored. What is not found by then is rolled back once
/// its lease expires.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// An order for a rollout.
struct Order {
    id: Uuid,
    /// `None` for the previous model.
    target: Option<Target>,
    not_after: Timestamp,
}

impl Coordinator {
    pub(super) async fn begin(
        self: &Arc<Self>,
        target: Option<Target>,
        not_after: Timestamp,
    ) -> Result<Begun, SwapError> {
        let order = Order { id: Uuid::new_v4(), target, not_after };
        let gone = CancellationToken::new();
        let _gone_on_drop = gone.clone().drop_guard();
        let (this, end) = (Arc::clone(self), self.end.clone());
        // A task of its own: a caller that disconnects while the rollout is stored must not leave it without a
        // coordinator.
        let beginning = async move { end.run_until_cancelled(this.begin_and_drive(order, gone)).await };
        let begun = tokio::spawn(beginning).await;
        begun.ok().flatten().unwrap_or_else(|| {
            let why = "beginning the rollout was cut off".to_owned();
            Err(SwapError::Store(StoreError::Unavailable(why)))
        })
    }

    async fn begin_and_drive(
        self: Arc<Self>,
        order: Order,
        gone: CancellationToken,
    ) -> Result<Begun, SwapError> {
        let time_left = order.not_after.since(self.store.now());
        let mut begun = tokio::select! {
            biased;
            begun = timeout(time_left, self.record(&order)) => begun.unwrap_or(Err(SwapError::TooLate)),
            () = gone.cancelled() => Err(SwapError::GivenUp),
        };
        if begun.as_ref().is_err_and(leaves_open)
            && let Ok(Ok(fleet)) = timeout(LAST_LOOK, self.store.fleet()).await
            && let Some(recorded) = recorded(&fleet.value, &order)
        {
            begun = Ok(recorded);
        }
        if let Ok(begun) = begun {
            self.drive_alone(begun);
        }
        begun
    }

    /// Runs a stored rollout in a task of its own.
    pub(super) fn drive_alone(self: &Arc<Self>, begun: Begun) {
        let this = Arc::clone(self);
        self.spawn(async move { this.drive(begun).await });
    }

    /// Tries until another rollout is running. The caller bounds it in time.
    async fn record(&self, order: &Order) -> Result<Begun, SwapError> {
        loop {
            let fleet = self.store.fleet().await?;
            if let Some(begun) = recorded(&fleet.value, order) {
                return Ok(begun);
            }
            let target = match &order.target {
                Some(target) => target.clone(),
                None => rollout::rollback_target(&fleet.value).ok_or(SwapError::NothingToRollBackTo)?,
            };
            let next = rollout::begin(&fleet.value, target, order.id, self.store.now(), self.timing)?;
            match self.replace(&fleet, &next, Some(order.not_after)).await? {
                Replacement::Done(_) => {
                    let rollout = next.rollout.as_ref();
                    tracing::info!(
                        generation = next.generation.0,
                        model = rollout.map(|r| r.target.name.as_str()),
                        version = rollout.map(|r| r.target.version.short()),
                        "rollout begins"
                    );
                    return Ok(Begun { id: RolloutId(order.id), generation: next.generation });
                }
                Replacement::TooLate => return Err(SwapError::TooLate),
                // Another order was faster, or this order is stored and only its confirmation was lost.
                Replacement::Changed => {}
            }
        }
    }
}

/// Returns the order's rollout, if the document has it.
fn recorded(fleet: &FleetState, order: &Order) -> Option<Begun> {
    let id = RolloutId(order.id);
    find(fleet, id).map(|rollout| Begun { id, generation: rollout.generation })
}

/// Returns whether the rollout may be stored in spite of this error.
fn leaves_open(error: &SwapError) -> bool {
    match error {
        SwapError::TooLate | SwapError::GivenUp | SwapError::Store(StoreError::Unavailable(_)) => true,
        SwapError::Busy(_)
        | SwapError::NothingToRollBackTo
        | SwapError::Store(StoreError::Refused(_) | StoreError::Malformed(_)) => false,
    }
}
