//! Runs a rollout to its end.

use common::fleet::{FleetState, Phase};
use common::rollout::{self, Actor, Decision};
use common::store::StoreError;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::{Begun, Coordinator, POLL};

impl Coordinator {
    /// Runs a rollout until it has ended or its coordinator's lease is lost.
    ///
    /// While the store is out of reach, it is retried. Every decision follows from a fresh read, which also shows an
    /// expired lease. Ends with the rollout, whose every phase has a limit, or when the store was out of reach for
    /// longer than the lease: then any process may end the rollout.
    pub(super) async fn drive(&self, begun: Begun) {
        let generation = begun.generation.0;
        let mut away = false;
        let mut heard = Instant::now();
        loop {
            // A hanging call must not cost the lease. An interrupted call may or may not have replaced the document;
            // the next read shows which.
            let advanced = timeout(self.timing.lease / 3, self.advance(begun.id.0)).await;
            match advanced.unwrap_or_else(|_| Err(StoreError::Unavailable("no answer in time".to_owned()))) {
                Ok(Decision::Over) => {
                    // The confirmation of its commit may have been lost.
                    self.last_seen.forget();
                    return;
                }
                Ok(Decision::Wait | Decision::Replace(_)) => {
                    away = false;
                    heard = Instant::now();
                }
                Err(error) if heard.elapsed() > self.timing.lease => {
                    tracing::warn!(generation, %error, "the rollout is left to other processes: its lease has expired");
                    return;
                }
                Err(error) => {
                    if !away {
                        tracing::warn!(generation, %error, "rollout waits for the store");
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
        let decision = rollout::step(&fleet.value, &workers, self.store.now(), Actor::Coordinator(id));
        if let Decision::Replace(next) = &decision
            && self.replace(&fleet, next, None).await?.done().is_some()
        {
            log(&fleet.value, next);
        }
        Ok(decision)
    }
}

/// Logs the result of a step.
pub(super) fn log(before: &FleetState, after: &FleetState) {
    let (Some(before), Some(after)) = (&before.rollout, &after.rollout) else { return };
    if before.phase == after.phase {
        return;
    }
    let generation = after.generation.0;
    let model = after.target.name.as_str();
    match &after.phase {
        Phase::Preparing | Phase::Unknown => {}
        Phase::Converging => tracing::info!(generation, model, "rollout committed"),
        Phase::Done => tracing::info!(generation, model, "rollout done"),
        Phase::RolledBack { failure } => tracing::warn!(generation, model, ?failure, "rollout rolled back"),
    }
}
