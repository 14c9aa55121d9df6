//! `classifier serve`: API and worker in one process, queue and store in memory.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use api::rollout::{Coordinator, RolloutTiming, Target};
use clap::Args;
use common::broker::Broker;
use common::broker::in_process::InProcessBroker;
use common::config::{LogConfig, ModelsConfig};
use common::fleet::{Phase, RolloutFailure};
use common::ids::ModelName;
use common::package::Catalog;
use common::program::stop_on_signals;
use common::store::Store;
use common::store::in_memory::InMemoryStore;
use common::telemetry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use worker::engine::EngineLoader;
use worker::tensorflow::loader;

use crate::config::QueueConfig;
use crate::exit::{Exit, UsageError};
use crate::output;

/// What `--help` shows below the options.
pub const EXAMPLES: &str = "Examples:
  X_API_KEY=secret classifier serve                        then `classifier swap NAME`
  X_API_KEY=secret classifier serve --model digits --listen 127.0.0.1:8080

X_API_KEY must be set: clients send it as the header X-API-Key. Once the server listens, it prints
its address on stdout; logs go to stderr. SIGTERM and ctrl-c let it finish what is open.";

/// How long the first model may take to load, beside the worker's own start.
const FIRST_MODEL_LIMIT: Duration = Duration::from_secs(300);

/// Options of the command.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Activate this package at the start, and end at once when it cannot be served.
    #[arg(long, value_name = "NAME", value_parser = ModelName::parse)]
    model: Option<ModelName>,
    #[command(flatten)]
    api: api::config::Config,
    #[command(flatten)]
    worker: worker::config::Config,
    #[command(flatten)]
    queue: QueueConfig,
    #[command(flatten)]
    models: ModelsConfig,
    #[command(flatten)]
    log: LogConfig,
}

/// Runs the command until it is told to stop.
///
/// # Errors
/// A setting is missing or wrong, the address is taken, there is no TensorFlow library, or the package
/// of `--model` cannot be served.
pub fn run(arguments: Arguments) -> anyhow::Result<Exit> {
    api::check(&arguments.api).map_err(|error| UsageError(error.to_string()))?;
    telemetry::init(&arguments.log).map_err(|error| UsageError(error.to_string()))?;
    let loader = loader(&arguments.worker.tensorflow())?;
    super::block_on(serve(arguments, loader))
}

async fn serve(arguments: Arguments, loader: Arc<dyn EngineLoader>) -> anyhow::Result<Exit> {
    let metrics = telemetry::install_metrics()?;
    let stopped = stop_on_signals()?;
    let catalog = Catalog::new(&arguments.models.models_dir);
    let broker: Arc<dyn Broker> = InProcessBroker::new(arguments.queue.broker_limits());
    let store: Arc<dyn Store> = InMemoryStore::new();

    let listen = arguments.api.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| {
        format!("the address {listen} cannot be listened at, choose another with --listen")
    })?;
    let address = listener.local_addr()?;

    let worker_parts = worker::Parts {
        broker: Arc::clone(&broker),
        store: Arc::clone(&store),
        catalog: catalog.clone(),
        loader,
    };
    let api_parts = api::Parts {
        config: arguments.api,
        broker: Arc::clone(&broker),
        store: Arc::clone(&store),
        catalog: catalog.clone(),
        metrics,
    };

    let (stop_api, stop_worker) = (CancellationToken::new(), CancellationToken::new());
    let mut api = tokio::spawn(api::serve(listener, api_parts, stop_api.clone()));
    let mut work = tokio::spawn(worker::run(arguments.worker, worker_parts, stop_worker.clone()));
    let ready = async {
        if let Some(name) = &arguments.model {
            activate(name, catalog, &broker, &store).await?;
        }
        output::line(&format!("listening on http://{address}"))?;
        stopped.cancelled().await;
        anyhow::Ok(())
    };
    let outcome = tokio::select! {
        outcome = ready => outcome,
        ended = &mut api => return ended?.map(|()| Exit::Done).map_err(Into::into),
        ended = &mut work => {
            ended??;
            bail!("the worker ended by itself")
        }
    };
    // The API first: what is open is answered by the worker, which has nothing to do after that.
    stop_api.cancel();
    api.await??;
    stop_worker.cancel();
    work.await??;
    outcome.map(|()| Exit::Done)
}

/// Rolls the package out like any other swap, once the worker is there to try it.
async fn activate(
    name: &ModelName,
    catalog: Catalog,
    broker: &Arc<dyn Broker>,
    store: &Arc<dyn Store>,
) -> anyhow::Result<()> {
    let wanted = name.clone();
    let package = tokio::task::spawn_blocking(move || catalog.open(&wanted)).await??;
    while store.workers().await?.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let timing = RolloutTiming { prepare_limit: FIRST_MODEL_LIMIT, ..RolloutTiming::default() };
    let coordinator = Coordinator::new(Arc::clone(broker), Arc::clone(store), timing);
    let generation = coordinator.swap(Target { name: package.name, version: package.version }).await?;
    let Some(rollout) = coordinator.wait(generation, FIRST_MODEL_LIMIT).await? else {
        bail!("another model was chosen while `{name}` was loading");
    };
    match rollout.phase {
        Phase::Done => Ok(()),
        Phase::RolledBack { failure } => bail!("package `{name}` cannot be served: {}", reason(&failure)),
        Phase::Preparing | Phase::Converging => {
            bail!("model `{name}` was not ready within {FIRST_MODEL_LIMIT:?}")
        }
    }
}

fn reason(failure: &RolloutFailure) -> String {
    match failure {
        RolloutFailure::Unservable { problems, .. } => problems.join("; "),
        RolloutFailure::WorkerFailed { reason, .. } => reason.clone(),
        RolloutFailure::TimedOut { .. } => "it was not loaded in time".to_owned(),
        RolloutFailure::CoordinatorLost => "the rollout was cut off".to_owned(),
    }
}
