//! `classifier-worker`: one worker of a fleet.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser as _;
use common::package::Catalog;
use common::program::{connect, healthcheck, stop_on_signals};
use common::telemetry;
use tokio::net::TcpListener;
use worker::config::Program;
use worker::engine::EngineLoader;
use worker::health::{self, Pages};
use worker::run::{Parts, RunError, Worker};
use worker::tensorflow::loader;

/// Jobs in hand were left to others.
const UNFINISHED: u8 = 3;

fn main() -> ExitCode {
    let program = Program::parse();
    // The library takes its settings from the environment, which may be written only before there are
    // other threads.
    let engines = (!program.healthcheck).then(|| loader(&program.worker.tensorflow()));
    let ended = telemetry::init(&program.log)
        .context("the logs could not be set up")
        .and_then(|()| tokio::runtime::Runtime::new().context("the runtime could not be started"))
        .and_then(|runtime| match engines {
            None => runtime
                .block_on(healthcheck(program.listen, "/health/ready"))
                .context("not ready")
                .map(|()| ExitCode::SUCCESS),
            Some(engines) => runtime.block_on(work(program, engines.context("no engine")?)),
        });
    ended.unwrap_or_else(|error| {
        tracing::error!("{error:#}");
        ExitCode::FAILURE
    })
}

async fn work(program: Program, loader: Arc<dyn EngineLoader>) -> anyhow::Result<ExitCode> {
    let metrics = telemetry::install_metrics()?;
    let stop = stop_on_signals()?;
    let listener = TcpListener::bind(program.listen)
        .await
        .with_context(|| format!("listening at {} (WORKER_LISTEN)", program.listen))?;
    tracing::info!(address = %listener.local_addr()?, "metrics and health");
    let pages = Pages::new(metrics);
    let server = tokio::spawn(health::serve(listener, Arc::clone(&pages)));
    let Some((broker, store)) = stop.run_until_cancelled(connect(&program.fleet)).await else {
        return Ok(ExitCode::SUCCESS);
    };
    let catalog = Catalog::new(program.models.models_dir.clone());
    let worker = Worker::start(&program.worker, Parts { broker, store, catalog, loader })?;
    pages.started(worker.control());
    let ended = worker.work(stop).await;
    server.abort();
    match ended {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error @ RunError::Unfinished { .. }) => {
            tracing::error!("{error}");
            Ok(ExitCode::from(UNFINISHED))
        }
        Err(error @ RunError::Threads(_)) => Err(error.into()),
    }
}
