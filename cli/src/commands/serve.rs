//! `classifier serve`: API and worker in one process, queue and store in memory.

mod wanted;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use api::WorkersAt;
use api::rollout::{Begun, Coordinator, RolloutTiming, SwapError, Target};
use clap::Args;
use common::broker::Broker;
use common::broker::in_process::InProcessBroker;
use common::config::ModelsConfig;
use common::fleet::{Phase, RolloutFailure, WorkerState};
use common::ids::ModelName;
use common::offload::offload;
use common::package::Catalog;
use common::program::stop_on_signals;
use common::store::Store;
use common::store::in_memory::InMemoryStore;
use common::telemetry::LogConfig;
use common::telemetry::{self, Role};
use tensorflow_engine::Prepared;
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::wanted::{Curl, Wanted};
use crate::config::QueueConfig;
use crate::exit::Exit;
use crate::output;
use crate::unpackaged::Choices;
use crate::usage::UsageError;

/// What `--help` shows below the options.
pub const EXAMPLES: &str = "Examples:
  classifier serve flowers.keras                           a model, at once, under its file's name
  classifier serve converted_keras.zip                     as Teachable Machine gives it
  classifier serve vgg.h5 --recipe caffe --labels cat,dog  what the model does not say
  X_API_KEY=secret classifier serve                        then `classifier swap NAME`
  X_API_KEY=secret classifier serve --model digits --listen 127.0.0.1:8080

MODEL is a .keras, .h5 or .hdf5 file, a SavedModel folder, a Teachable Machine folder or its .zip,
or a package. What was understood of it is printed first. How images are read follows from the
model where it says so; where it does not, the command ends with the choices, a flag each.

X_API_KEY must be set: clients send it as the header X-API-Key. With MODEL, a key is made where none
is set. The server listens at once. It prints its address to stdout when it can answer predictions.
Logs go to stderr. After SIGTERM or ctrl-c it finishes open requests and ends.";

/// How long the first model may take to load, including the start of the worker.
const FIRST_MODEL_LIMIT: Duration = Duration::from_secs(300);

/// How often the store is asked whether the worker is ready.
const LOOK: Duration = Duration::from_millis(10);

/// Options of the command.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A model to serve: a file or folder without a config, or a package.
    #[arg(value_name = "MODEL", conflicts_with = "model")]
    file: Option<PathBuf>,
    #[command(flatten)]
    choices: Choices,
    /// Activate this package at the start. The program ends if it cannot be served.
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

/// Runs the command until it is stopped.
///
/// # Errors
/// A setting is missing or wrong, the address is taken, there is no TensorFlow library, or the package
/// of `--model` cannot be served.
pub fn run(mut arguments: Arguments) -> anyhow::Result<Exit> {
    // First, so that no signal is missed.
    let stop = stop_on_signals()?;
    let curl = wanted::key(&mut arguments);
    api::check(&arguments.api).map_err(|error| UsageError(error.to_string()))?;
    telemetry::init(&arguments.log).map_err(|error| UsageError(error.to_string()))?;
    // The library reads its settings from the environment, which is written before other threads exist that might read
    // it.
    let library = arguments.worker.library(arguments.log.log_format)?;
    let wanted = Wanted::of(&arguments, curl)?;
    wanted.tell()?;
    let runtime = Runtime::new().context("the runtime could not be started")?;
    let ended = runtime.block_on(serve(arguments, library, &wanted, stop));
    // Does not wait for a model that still loads: that may take minutes, and it is not needed any more.
    runtime.shutdown_background();
    ended
}

async fn serve(
    arguments: Arguments,
    library: Prepared,
    wanted: &Wanted,
    stop: CancellationToken,
) -> anyhow::Result<Exit> {
    let metrics = telemetry::install_metrics(&[Role::Api, Role::Worker])?;
    let broker: Arc<dyn Broker> = InProcessBroker::new(arguments.queue.broker_limits());
    let store: Arc<dyn Store> = InMemoryStore::with_limit(arguments.queue.store_max_bytes);

    let listen = arguments.api.listen;
    let listener = common::program::listen(listen)
        .with_context(|| format!("cannot listen on {listen}, choose another address with --listen"))?;
    let address = listener.local_addr()?;
    let catalog = wanted.catalog.clone();

    let api_parts = api::Parts {
        config: arguments.api,
        broker: Arc::clone(&broker),
        store: Arc::clone(&store),
        catalog: catalog.clone(),
        metrics,
        declared: wanted.model.clone(),
        workers: WorkersAt::Here,
    };
    let (model, curl) = (wanted.model.clone(), wanted.curl.clone());
    let start = Start { address, model, catalog: catalog.clone(), broker, store, curl };
    let (stop_api, stop_worker) = (CancellationToken::new(), CancellationToken::new());
    // Before the worker: it answers health checks (live, not ready) while TensorFlow is opened.
    let mut api = tokio::spawn(api::serve(listener, api_parts, stop_api.clone()));
    let (broker, store) = (Arc::clone(&start.broker), Arc::clone(&start.store));
    let worker_told = stop_worker.clone();
    let mut work = tokio::spawn(async move {
        let opening = offload(move || worker::engines::loader_with(&library));
        // Once the process has to stop, a library that hangs while it is opened is not waited for.
        let Some(loader) = worker_told.run_until_cancelled(opening).await else { return anyhow::Ok(()) };
        let parts = worker::Parts { broker, store, catalog, loader: loader?? };
        Ok(worker::run(arguments.worker, parts, worker_told).await?)
    });
    let outcome = tokio::select! {
        biased;
        () = stop.cancelled() => Ok(()),
        ended = &mut api => return ended?.map(|()| Exit::Done).map_err(Into::into),
        ended = &mut work => {
            ended??;
            bail!("the worker ended by itself")
        }
        failed = start.up() => match failed {
            Ok(never) => match never {},
            Err(error) => Err(error),
        },
    };
    // The API first: the worker still answers its open requests. Each ends within its own stop grace.
    stop_api.cancel();
    api.await??;
    stop_worker.cancel();
    work.await??;
    outcome.map(|()| Exit::Done)
}

/// What the start needs until the server can answer predictions.
struct Start {
    address: SocketAddr,
    model: Option<ModelName>,
    catalog: Catalog,
    broker: Arc<dyn Broker>,
    store: Arc<dyn Store>,
    curl: Option<Curl>,
}

impl Start {
    /// Prints the address once the server can answer predictions. Returns only an error: it never can.
    async fn up(&self) -> anyhow::Result<Infallible> {
        let ready = async {
            match &self.model {
                Some(name) => self.activate(name).await,
                None => self.until_a_worker_takes_jobs().await,
            }
        };
        match timeout(FIRST_MODEL_LIMIT, ready).await {
            Ok(done) => done?,
            Err(_) => bail!("predictions could not be answered within {FIRST_MODEL_LIMIT:?}"),
        }
        output::line(&format!("listening on http://{}", self.address))?;
        if let Some(curl) = &self.curl {
            output::line(&curl.line(self.address))?;
        }
        std::future::pending().await
    }

    async fn until_a_worker_takes_jobs(&self) -> anyhow::Result<()> {
        while !self.store.workers().await?.iter().any(|worker| worker.state == WorkerState::Ready) {
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Swaps to the package like any other swap, once the worker is ready.
    async fn activate(&self, name: &ModelName) -> anyhow::Result<()> {
        let (catalog, wanted) = (self.catalog.clone(), name.clone());
        let package = offload(move || catalog.open(&wanted)).await??;
        self.until_a_worker_takes_jobs().await?;
        let timing = RolloutTiming { prepare_limit: FIRST_MODEL_LIMIT, ..RolloutTiming::default() };
        let coordinator = Coordinator::new(Arc::clone(&self.broker), Arc::clone(&self.store), timing);
        let target = Target { name: package.name, version: package.version };
        let begun = self.begin(&coordinator, &target).await?;
        let Some(rollout) = coordinator.wait(begun.id, FIRST_MODEL_LIMIT).await? else {
            bail!("another model was chosen while `{name}` was loading");
        };
        match rollout.phase {
            Phase::Done => Ok(()),
            Phase::RolledBack { failure } => {
                bail!("package `{name}` cannot be served: {}", reason(&failure))
            }
            Phase::Preparing | Phase::Converging | Phase::Unknown => {
                bail!("model `{name}` was not ready within {FIRST_MODEL_LIMIT:?}")
            }
        }
    }

    /// Begins the rollout. A rollout that a client began meanwhile ends first.
    async fn begin(&self, coordinator: &Arc<Coordinator>, target: &Target) -> anyhow::Result<Begun> {
        loop {
            let not_after = self.store.now().after(FIRST_MODEL_LIMIT);
            match coordinator.swap(target.clone(), not_after).await {
                Err(SwapError::Busy(_)) => sleep(LOOK).await,
                begun => return Ok(begun?),
            }
        }
    }
}

fn reason(failure: &RolloutFailure) -> String {
    match failure {
        RolloutFailure::Unservable { problems, .. } => problems.join("; "),
        RolloutFailure::WorkerFailed { reason, .. } => reason.clone(),
        RolloutFailure::TimedOut { .. } => "it was not loaded in time".to_owned(),
        RolloutFailure::CoordinatorLost => "the rollout was cut off".to_owned(),
        RolloutFailure::Unknown => "the rollout was rolled back".to_owned(),
    }
}
