//! Ends abandoned rollouts, and rolls out packages that were replaced on every disk.

use std::sync::Arc;
use std::time::Duration;

use common::fleet::FleetState;
use common::ids::RolloutId;
use common::rollout::{self, Actor, Decision, LeaseWatch, Target};
use common::store::{Revised, StoreError};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::adopt::{Adoption, to_adopt};
use super::drive::log;
use super::{Begun, Coordinator, POLL};

/// How long an order of the sweeper is valid.
const ORDER_STANDS: Duration = Duration::from_secs(5);

impl Coordinator {
    pub(super) async fn sweep_for_ever(self: &Arc<Self>) {
        // Short enough to notice a dead coordinator soon after its lease, long enough to cause no load.
        let pause = (self.timing.lease / 5).clamp(POLL, Duration::from_secs(1));
        let (mut lease, mut adoption) = (LeaseWatch::default(), Adoption::default());
        loop {
            sleep(pause).await;
            // A hanging call counts as failed: the next sweep starts over.
            let swept = timeout(self.timing.lease, self.sweep(&mut lease, &mut adoption)).await;
            match swept.unwrap_or_else(|_| Err(StoreError::Unavailable("no answer in time".to_owned()))) {
                Ok(()) => {}
                Err(error) => tracing::debug!(%error, "the sweeper could not read the fleet's state"),
            }
        }
    }

    async fn sweep(
        self: &Arc<Self>,
        lease: &mut LeaseWatch,
        adoption: &mut Adoption,
    ) -> Result<(), StoreError> {
        let fleet = self.store.fleet().await?;
        // After the document, never before: see the module docs of `common::rollout`.
        let workers = self.store.workers().await?;
        let (now, tick) = (self.store.now(), Instant::now());
        if lease.is_orphaned(&fleet, now, tick.into_std()) {
            match rollout::step(&fleet.value, &workers, now, Actor::Bystander) {
                Decision::Wait | Decision::Over => {}
                Decision::Replace(next) => {
                    if self.replace(&fleet, &next, None).await?.done().is_some() {
                        log(&fleet.value, &next);
                    }
                }
            }
        } else if let Some(target) = adoption.settled(to_adopt(&fleet.value, &workers, now), tick) {
            self.adopt(&fleet, target).await?;
        }
        Ok(())
    }

    /// Begins to roll out the version on every disk. If the sweepers of several processes find it, the first write
    /// counts.
    async fn adopt(self: &Arc<Self>, fleet: &Revised<FleetState>, target: Target) -> Result<(), StoreError> {
        let (id, now) = (Uuid::new_v4(), self.store.now());
        let Ok(next) = rollout::begin(&fleet.value, target.clone(), id, now, self.timing) else {
            return Ok(());
        };
        if self.replace(fleet, &next, Some(now.after(ORDER_STANDS))).await?.done().is_none() {
            return Ok(());
        }
        tracing::warn!(
            generation = next.generation.0,
            model = %target.name,
            gone = fleet.value.active.as_ref().map(|active| active.version.as_str()),
            found = target.version.as_str(),
            "no worker has the active version of the model any more, and every worker's disk has another one: rolling \
             that one out"
        );
        self.drive_alone(Begun { id: RolloutId(id), generation: next.generation });
        Ok(())
    }
}
