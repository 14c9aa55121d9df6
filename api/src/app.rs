//! What every handler shares.

use std::sync::Arc;
use std::time::Duration;

use common::broker::Broker;
use common::package::Catalog;
use common::store::Store;
use common::telemetry::RenderMetrics;
use tokio_util::sync::CancellationToken;

use crate::answered::Answered;
use crate::auth::KeyRing;
use crate::budget::Budget;
use crate::config::Config;
use crate::predict::pin::LastSeen;
use crate::rollout::Coordinator;

/// What every handler shares.
pub(crate) struct App {
    /// The settings.
    pub config: Config,
    /// The queue of work.
    pub broker: Arc<dyn Broker>,
    /// Jobs, results and the fleet's state.
    pub store: Arc<dyn Store>,
    /// The model packages.
    pub catalog: Catalog,
    /// Renders the metrics.
    pub metrics: RenderMetrics,
    /// Valid keys.
    pub keys: KeyRing,
    /// Memory for request bodies.
    pub budget: Budget,
    /// Tells the store which answers were given.
    pub answered: Answered,
    /// The fleet's state as this process saw it last.
    pub last_seen: LastSeen,
    /// Runs the swaps.
    pub coordinator: Arc<Coordinator>,
    /// Cancelled when the process is told to stop.
    pub stop: CancellationToken,
}

impl App {
    /// Waits for something that may take `limit`, but not past the end of the grace once the process is
    /// told to stop: whoever waits then still gets an answer. `None` if it was cut off.
    pub(crate) async fn patiently<T>(&self, wait: impl Future<Output = T>) -> Option<T> {
        let stopping = async {
            self.stop.cancelled().await;
            tokio::time::sleep(self.config.stop_grace.mul_f64(ANSWER_BY)).await;
        };
        tokio::select! {
            done = wait => Some(done),
            () = stopping => None,
        }
    }

    /// The time a client is made to wait: what it asked for, as far as the server allows.
    pub(crate) fn capped(&self, asked: Duration) -> Duration {
        asked.min(self.config.max_wait)
    }
}

/// The part of the grace after which those who still wait are answered.
const ANSWER_BY: f64 = 0.8;
