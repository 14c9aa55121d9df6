//! The loops behind [`Coordinator`]: one for each rollout it began, one that sweeps up after others.

use std::time::{Duration, Instant};

use common::fleet::{FleetState, Phase};
use common::ids::Generation;
use common::messages::Timestamp;
use common::rollout::{self, Actor, Decision, LeaseWatch};
use common::store::StoreError;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::{Coordinator, POLL};

impl Coordinator {
    /// Drives the rollout that was begun as `id` until it has ended or belongs to nobody any more.
    ///
    /// A store that is away is tried again. Whatever is decided is decided from what was just read, and
    /// a lease that ran out meanwhile shows in it.
    pub(super) async fn drive(&self, id: Uuid, generation: Generation) {
        let mut away = false;
        loop {
            // A call that hangs must not cost the lease. One that is cut short may or may not have replaced
            // the document; the next look shows which.
            let advanced = timeout(self.timing.lease / 3, self.advance(id)).await;
            match advanced.unwrap_or_else(|_| Err(StoreError::Unavailable("no answer in time".to_owned()))) {
                Ok(Decision::Over) => return,
                Ok(Decision::Wait | Decision::Replace(_)) => away = false,
                Err(error) => {
                    if !away {
                        tracing::warn!(generation = generation.0, %error, "rollout waits for the store");
                    }
                    away = true;
                }
            }
            sleep(POLL).await;
        }
    }

    async fn advance(&self, id: Uuid) -> Result<Decision, StoreError> {
        let fleet = self.store.fleet().await?;
        // After the document, never before: see the module docs of `common::rollout`.
        let workers = self.store.workers().await?;
        let decision = rollout::step(&fleet.value, &workers, Timestamp::now(), Actor::Coordinator(id));
        if let Decision::Replace(next) = &decision
            && self.replace(&fleet, next).await?
        {
            log(&fleet.value, next);
        }
        Ok(decision)
    }

    pub(super) async fn sweep_for_ever(&self) {
        // Often enough that a dead coordinator is noticed soon after its lease, seldom enough not to matter.
        let pause = (self.timing.lease / 5).clamp(POLL, Duration::from_secs(1));
        let mut watch = LeaseWatch::default();
        loop {
            sleep(pause).await;
            if let Err(error) = self.sweep(&mut watch).await {
                tracing::debug!(%error, "the sweeper could not look at the fleet");
            }
        }
    }

    /// Ends a rollout that nobody leads any more.
    async fn sweep(&self, watch: &mut LeaseWatch) -> Result<(), StoreError> {
        let fleet = self.store.fleet().await?;
        if !watch.is_orphaned(&fleet, Timestamp::now(), Instant::now()) {
            return Ok(());
        }
        let workers = self.store.workers().await?;
        match rollout::step(&fleet.value, &workers, Timestamp::now(), Actor::Bystander) {
            Decision::Wait | Decision::Over => {}
            Decision::Replace(next) => {
                if self.replace(&fleet, &next).await? {
                    log(&fleet.value, &next);
                }
            }
        }
        Ok(())
    }
}

fn log(before: &FleetState, after: &FleetState) {
    let (Some(before), Some(after)) = (&before.rollout, &after.rollout) else { return };
    if before.phase == after.phase {
        return;
    }
    let generation = after.generation.0;
    let model = after.target.name.as_str();
    match &after.phase {
        Phase::Preparing => {}
        Phase::Converging => tracing::info!(generation, model, "rollout committed"),
        Phase::Done => tracing::info!(generation, model, "rollout done"),
        Phase::RolledBack { failure } => tracing::warn!(generation, model, ?failure, "rollout rolled back"),
    }
}
