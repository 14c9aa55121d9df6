//! `classifier-worker`: one worker of a fleet.

use std::fmt::Display;
use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;
use common::broker::rabbitmq::{RabbitMqBroker, RabbitMqConfig};
use common::package::Catalog;
use common::store::redis::{RedisConfig, RedisStore};
use common::telemetry;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use worker::config::Program;
use worker::engine::EngineLoader;
use worker::health::{self, Pages};
use worker::run::{Parts, RunError, Worker};
use worker::tensorflow::loader;

/// Jobs in hand were left to others.
const UNFINISHED: u8 = 3;
/// A second signal ended it at once, as a shell reports a program that was interrupted.
const INTERRUPTED: i32 = 130;

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
                .block_on(health::check(program.listen))
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
        .with_context(|| format!("cannot listen at {}", program.listen))?;
    let pages = Pages::new(metrics);
    let server = tokio::spawn(health::serve(listener, Arc::clone(&pages)));

    let fleet = &program.fleet;
    let broker = RabbitMqConfig {
        url: fleet.rabbitmq_url.clone(),
        prefix: fleet.fleet_prefix.clone(),
        limits: fleet.broker_limits(),
    };
    let store = RedisConfig {
        url: fleet.redis_url.clone(),
        prefix: fleet.fleet_prefix.clone(),
        call_timeout: fleet.fleet_call_timeout,
    };
    let connected = async {
        let broker = connect("RabbitMQ", || RabbitMqBroker::connect(broker.clone())).await;
        let store = connect("Redis", || RedisStore::connect(store.clone())).await;
        (broker, store)
    };
    let Some((broker, store)) = stop.run_until_cancelled(connected).await else {
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

/// Connects, however long the other side takes to come up.
async fn connect<T, E: Display, F: Future<Output = Result<T, E>>>(
    name: &str,
    mut attempt: impl FnMut() -> F,
) -> T {
    tracing::info!("connecting to {name}");
    let mut pause = Duration::from_millis(500);
    loop {
        match attempt().await {
            Ok(connection) => {
                tracing::info!("connected to {name}");
                return connection;
            }
            Err(error) => tracing::warn!(%error, ?pause, "{name} does not answer, trying again"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(10));
    }
}

/// A token that the first SIGTERM or SIGINT cancels; the second ends the program at once, and what it
/// had goes back to the queue.
fn stop_on_signals() -> anyhow::Result<CancellationToken> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        either(&mut terminate, &mut interrupt).await;
        token.cancel();
        either(&mut terminate, &mut interrupt).await;
        tracing::warn!("told to stop again: leaving at once");
        std::process::exit(INTERRUPTED);
    });
    Ok(stop)
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
