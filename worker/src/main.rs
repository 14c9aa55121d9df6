//! `classifier-worker`: one worker of a fleet.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use common::package::Catalog;
use common::program::{
    WRONG_SETTING, connect, exit_code, healthcheck, leave, parse_settings, stop_on_signals,
};
use common::telemetry::{self, Role};
use tensorflow_engine::Prepared;
use tokio::runtime::Runtime;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use worker::config::Program;
use worker::engines::loader_with;
use worker::health::{self, Pages};
use worker::run::{Parts, RunError, Worker};

/// Some jobs were left to other workers.
const UNFINISHED: u8 = 3;

fn main() -> ExitCode {
    // First, so that no signal is missed.
    let stop = stop_on_signals();
    let program: Program = parse_settings();
    if program.healthcheck {
        return ExitCode::from(ended(ask(program.listen)));
    }
    let code = ended(stop.context("no handlers for signals").and_then(|stop| start(program, stop)));
    leave(code)
}

fn ask(listen: SocketAddr) -> anyhow::Result<u8> {
    Runtime::new()?.block_on(healthcheck(listen, "/health/ready")).context("not ready")?;
    Ok(0)
}

/// Returns the exit code, and prints an error.
fn ended(outcome: anyhow::Result<u8>) -> u8 {
    outcome.unwrap_or_else(|error| {
        let code = exit_code(error.as_ref());
        if code == WRONG_SETTING {
            // Like errors of the command line: independent of the log settings.
            eprintln!("error: {error:#}");
        } else {
            tracing::error!("{error:#}");
        }
        code
    })
}

fn start(program: Program, stop: CancellationToken) -> anyhow::Result<u8> {
    telemetry::init(&program.log).context("the logs could not be set up")?;
    // The library reads its settings from the environment, which is written before other threads exist that might read
    // it.
    let library = program.worker.library(program.log.log_format)?;
    let catalog = program.models.catalog()?;
    let runtime = Runtime::new().context("the runtime could not be started")?;
    let ended = runtime.block_on(work(program, library, catalog, stop));
    // Does not wait for a model that still loads: that may take minutes, and it is not needed any more.
    runtime.shutdown_background();
    ended
}

async fn work(
    program: Program,
    library: Prepared,
    catalog: Catalog,
    stop: CancellationToken,
) -> anyhow::Result<u8> {
    let metrics = telemetry::install_metrics(&[Role::Worker])?;
    let (broker, store) = connect(&program.fleet)?;
    let listener = common::program::listen(program.listen)
        .with_context(|| format!("listening at {} (WORKER_LISTEN)", program.listen))?;
    tracing::info!(address = %listener.local_addr()?, "metrics and health");
    let pages = Pages::new(metrics);
    let server = tokio::spawn(health::serve(listener, Arc::clone(&pages)));
    // On a thread of its own, so that the pages and signals are served meanwhile.
    let opening = spawn_blocking(move || loader_with(&library));
    let Some(loader) = stop.run_until_cancelled(opening).await else { return Ok(0) };
    let loader = loader?.context("no engine")?;
    let worker = Worker::start(&program.worker, Parts { broker, store, catalog, loader })?;
    pages.started(worker.control());
    let ended = worker.work(stop).await;
    server.abort();
    match ended {
        Ok(()) => Ok(0),
        Err(error @ RunError::Unfinished { .. }) => {
            tracing::error!("{error}");
            Ok(UNFINISHED)
        }
        Err(error @ RunError::Threads(_)) => Err(error.into()),
    }
}
