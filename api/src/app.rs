//! What every handler shares.

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

/// What every handler shares.
pub(crate) struct App {
    /// The settings.
    pub config: Config,
    /// The queue of work.
    pub broker: Arc<dyn Broker>,
    /// Jobs, results and the fleet's state.
    pub store: Arc<dyn Store>,
    /// The model packages.
    pub disk: Disk,
    /// The model that is to be active without anybody's asking.
    pub declared: Option<ModelName>,
    /// Where the workers are.
    pub workers: WorkersAt,
    /// Renders the metrics.
    pub metrics: RenderMetrics,
    /// Valid keys.
    pub keys: KeyRing,
    /// Memory for request bodies.
    pub budget: Budget,
    /// Memory for large answers.
    pub answer_budget: Budget,
    /// How long the labels of models are.
    pub label_sizes: LabelSizes,
    /// Pixels that each client has in the queue.
    pub shares: Arc<Shares>,
    /// One permit for each request that may wait for a result.
    pub waits: Semaphore,
    /// Tells the store which answers were given.
    pub answered: Answered,
    /// Runs the swaps.
    pub coordinator: Arc<Coordinator>,
    /// Cancelled when the process is told to stop: it is not ready from then on.
    pub stop: CancellationToken,
    /// Cancelled a little later, when it stops accepting.
    pub closing: CancellationToken,
    /// Ends what runs beside the requests.
    pub end: CancellationToken,
}

impl App {
    /// Waits for something that ends by itself, but not past the end of the grace once the process stops
    /// accepting: whoever waits then still gets an answer. `None` if it was cut off, or did not begin because as many
    /// wait already as may.
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

    /// Runs what must not end in the middle where a client hangs up. `None` if the whole process ended before it.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        let end = self.end.clone();
        tokio::spawn(async move { end.run_until_cancelled(task).await })
    }

    /// The time a client is made to wait: what it asked for, as far as the server allows.
    pub(crate) fn capped(&self, asked: Duration) -> Duration {
        asked.min(self.config.max_wait)
    }
}

/// The part of the grace after which those who still wait are answered.
const ANSWER_BY: f64 = 0.8;
