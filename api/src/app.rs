//! The state that all handlers share.

use std::sync::Arc;
use std::time::Duration;

use common::broker::Broker;
use common::ids::ModelName;
use common::store::Store;
use common::telemetry::{RenderMetrics, api_names};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::WorkersAt;
use crate::answered::Answered;
use crate::budget::Budget;
use crate::config::Config;
use crate::disk::Disk;
use crate::keys::KeyRing;
use crate::label_sizes::LabelSizes;
use crate::rollout::Coordinator;
use crate::shares::Shares;

/// The state that all handlers share.
pub(crate) struct App {
    /// The settings.
    pub config: Config,
    /// The queue of work.
    pub broker: Arc<dyn Broker>,
    /// Jobs, results and the fleet's state.
    pub store: Arc<dyn Store>,
    /// The model packages.
    pub disk: Disk,
    /// The model that the process activates at its start, if any.
    pub declared: Option<ModelName>,
    /// Where the workers are.
    pub workers: WorkersAt,
    /// Renders the metrics.
    pub metrics: RenderMetrics,
    /// Valid keys.
    pub keys: KeyRing,
    /// Limits the memory for request bodies.
    pub budget: Budget,
    /// Limits the memory for large answers.
    pub answer_budget: Budget,
    /// Lengths of the models' labels.
    pub label_sizes: LabelSizes,
    /// Limits the pixels that each client has in the queue.
    pub shares: Arc<Shares>,
    /// One permit for each request that may wait for a result.
    pub waits: Semaphore,
    /// Marks answered jobs in the store.
    pub answered: Answered,
    /// Runs the swaps.
    pub coordinator: Arc<Coordinator>,
    /// Cancelled when the process is told to stop. From then on it is not ready.
    pub stop: CancellationToken,
    /// Cancelled after the stop delay, when the process stops accepting connections.
    pub closing: CancellationToken,
    /// Ends the background tasks.
    pub end: CancellationToken,
}

impl App {
    /// Waits for a bounded operation, but not past the stop grace: waiting requests still get an answer. Returns `None`
    /// if the wait was cut off, or if too many requests wait already.
    pub(crate) async fn patiently<T>(&self, wait: impl Future<Output = T>) -> Option<T> {
        let Ok(_permit) = self.waits.try_acquire() else {
            metrics::counter!(api_names::REQUESTS_SHED, "reason" => "waiting").increment(1);
            return None;
        };
        let stopping = async {
            self.closing.cancelled().await;
            tokio::time::sleep(self.config.stop_grace.mul_f64(ANSWER_BY)).await;
        };
        tokio::select! {
            biased;
            done = wait => Some(done),
            () = stopping => None,
        }
    }

    /// Runs an operation to its end even if the client disconnects. Returns `None` if the process ended before it.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        let end = self.end.clone();
        tokio::spawn(async move { end.run_until_cancelled(task).await })
    }

    /// Returns how long a client waits: the requested time, capped by the server's limit.
    pub(crate) fn capped(&self, asked: Duration) -> Duration {
        asked.min(self.config.max_wait)
    }
}

/// The fraction of the stop grace after which waiting requests are answered.
const ANSWER_BY: f64 = 0.8;
