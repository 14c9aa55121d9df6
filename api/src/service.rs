//! The API: its routes and its background tasks.

use std::sync::Arc;

use axum::Router;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::answered::Answered;
use crate::app::App;
use crate::budget::Budget;
use crate::disk::Disk;
use crate::label_sizes::LabelSizes;
use crate::rollout::Coordinator;
use crate::shares::Shares;
use crate::{Parts, ServeError, key_ring, router};

/// Answers of the largest size that may be built and sent at once.
const LARGE_ANSWERS: usize = 4;

/// The API without its listener. Dropping it ends its background tasks, as a crash of the process would.
pub(crate) struct Service {
    router: Router,
    closing: CancellationToken,
    coordinator: Arc<Coordinator>,
    _end_on_drop: DropGuard,
}

impl Service {
    /// Creates it and starts its background tasks.
    ///
    /// # Errors
    /// [`ServeError`].
    pub(crate) fn start(parts: Parts, stop: CancellationToken) -> Result<Self, ServeError> {
        let Parts { config, broker, store, catalog, metrics, declared, workers } = parts;
        let keys = key_ring(&config)?;
        let (closing, end) = (CancellationToken::new(), CancellationToken::new());
        let coordinator = Coordinator::new(Arc::clone(&broker), Arc::clone(&store), config.rollout_timing());
        coordinator.spawn_sweeper(closing.clone());
        let budget = Budget::of_requests(config.max_bytes_in_flight);
        let answer_budget = Budget::of_answers(config.max_answer_bytes.saturating_mul(LARGE_ANSWERS));
        let answered =
            Answered::start(Arc::clone(&store), config.answered_retention.min(config.job_retention));
        let shares = Shares::new(config.max_client_pixels);
        let stop_delay = config.stop_delay;
        // The other connections are for requests that are answered at once.
        let waits = config.max_waiting.min(config.max_connections.div_ceil(4).saturating_mul(3));
        let waits = Semaphore::new(waits.clamp(1, Semaphore::MAX_PERMITS));
        let app = Arc::new(App {
            config,
            broker,
            store,
            disk: Disk::new(catalog),
            declared,
            workers,
            metrics,
            keys,
            budget,
            answer_budget,
            label_sizes: LabelSizes::default(),
            shares,
            waits,
            answered,
            coordinator: Arc::clone(&coordinator),
            stop: stop.clone(),
            closing: closing.clone(),
            end: end.clone(),
        });
        let close = closing.clone();
        app.spawn(async move {
            // For the lifetime of the process.
            stop.cancelled().await;
            sleep(stop_delay).await;
            close.cancel();
        });
        Ok(Self { router: router::router(&app), closing, coordinator, _end_on_drop: end.drop_guard() })
    }

    /// Returns the routes.
    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }

    /// Returns the token that is cancelled when no more requests are accepted.
    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.closing
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.coordinator.end();
    }
}
