//! A worker: take a part, run its images through the pipeline, store the result, acknowledge.
//!
//! ```text
//! intake   waits until Control says that the active model is loaded, then takes deliveries
//! triage   what to do with one, from the message alone
//! part     one delivery to its end; classify: its images, at once or with care
//! gate     careful work is alone in the process
//! tries    what a part has cost so far, counted in the store
//! patience what is out of reach is tried again for some seconds
//! settle   acknowledges, or gives back
//! ```

mod gate;
mod intake;
mod part;
mod patience;
mod settle;
mod triage;
mod tries;

use std::sync::Arc;
use std::time::Duration;

use common::broker::Broker;
use common::package::Catalog;
use common::store::Store;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::gate::Gate;
use self::intake::{Intake, note_end};
use self::part::{Handler, PartTools};
use self::patience::PATIENCE;
use self::tries::Tries;
use crate::config::Config;
use crate::control::{Control, ControlParts, ControlTiming, Throughput};
use crate::models::Models;
use crate::pipeline::Pipeline;
use engine::EngineLoader;

/// The components of a worker.
pub struct Parts {
    /// The source of jobs.
    pub broker: Arc<dyn Broker>,
    /// The store of results.
    pub store: Arc<dyn Store>,
    /// The models folder.
    pub catalog: Catalog,
    /// The loader of engines.
    pub loader: Arc<dyn EngineLoader>,
}

/// Why a worker failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Its threads could not be started.
    #[error("the worker's threads could not be started: {0}")]
    Threads(#[from] std::io::Error),
    /// The grace was over before all parts were done. They go back to the queue.
    #[error("{parts} parts were not finished within {grace:?} and go back to the queue")]
    Unfinished {
        /// Number of parts.
        parts: usize,
        /// The grace.
        grace: Duration,
    },
}

/// Runs until it is stopped, then finishes its parts and returns.
///
/// # Errors
/// [`RunError`]. No job is lost in either case.
pub async fn run(config: Config, parts: Parts, stop: CancellationToken) -> Result<(), RunError> {
    Worker::start(&config, parts)?.work(stop).await
}

/// A worker. If it is dropped, also during its work, its parts go back.
pub struct Worker {
    broker: Arc<dyn Broker>,
    control: Arc<Control>,
    parts: PartTools,
    prefetch: u16,
    grace: Duration,
}

impl Worker {
    /// Starts its threads and its control loop. It takes no jobs yet.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn start(config: &Config, parts: Parts) -> Result<Self, RunError> {
        let pipeline = Pipeline::start(config.pipeline_limits(&parts.loader.calls()))?;
        Ok(Self::with_pipeline(config, parts, pipeline))
    }

    /// Starts its control loop, with this pipeline. It takes no jobs yet.
    #[must_use]
    pub fn with_pipeline(config: &Config, parts: Parts, pipeline: Pipeline) -> Self {
        let Parts { broker, store, catalog, loader } = parts;
        let prefetch = config.prefetch(&loader.calls());
        let models = Models::new(catalog, loader, config.model_limits());
        let throughput = Arc::new(Throughput::default());
        let id = config.worker_id();
        let control = ControlParts {
            id: id.clone(),
            host: config.worker_host.clone(),
            broker: Arc::clone(&broker),
            store: Arc::clone(&store),
            models: Arc::clone(&models),
            throughput: Arc::clone(&throughput),
        };
        Self {
            control: Control::start(control, ControlTiming::default()),
            parts: PartTools {
                broker: Arc::clone(&broker),
                store,
                models,
                pipeline,
                throughput,
                worker: id,
                patience: PATIENCE,
            },
            broker,
            prefetch,
            grace: config.worker_stop_grace,
        }
    }

    /// Sets how long a part waits for a store out of reach, instead of a few seconds. For simulations, which show why
    /// that is short.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.parts.patience = patience;
        self
    }

    /// Returns its control, which knows whether it takes jobs.
    #[must_use]
    pub fn control(&self) -> Arc<Control> {
        Arc::clone(&self.control)
    }

    /// Runs until it is stopped, then finishes its parts and returns.
    ///
    /// # Errors
    /// [`RunError::Unfinished`].
    pub async fn work(self, stop: CancellationToken) -> Result<(), RunError> {
        let Self { broker, control, parts, prefetch, grace } = self;
        let worker = control.id().clone();
        let tries = Tries::new(Arc::clone(&parts.store), parts.patience);
        let handler = Arc::new(Handler { tools: parts, tries, gate: Gate::default(), stop: stop.clone() });
        let intake = Intake { broker, control: Arc::clone(&control), handler, prefetch, stop };
        tracing::info!(%worker, "worker started");
        let unfinished = intake.run().await;
        tracing::info!(parts = unfinished.len(), "stopping: no new jobs, finishing those begun");
        control.stopping();
        let ended = finish(unfinished, grace).await;
        control.stopped().await;
        tracing::info!(%worker, "worker stopped");
        ended
    }
}

/// Waits for the running parts.
async fn finish(mut tasks: JoinSet<()>, grace: Duration) -> Result<(), RunError> {
    let all_done = async {
        while let Some(done) = tasks.join_next().await {
            note_end(done);
        }
    };
    match tokio::time::timeout(grace, all_done).await {
        Ok(()) => Ok(()),
        Err(_) => Err(RunError::Unfinished { parts: tasks.len(), grace }),
    }
}
