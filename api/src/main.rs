//! The program `classifier-api`: one API process of a fleet.

use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use common::broker::rabbitmq::{RabbitMqBroker, RabbitMqConfig};
use common::config::{FleetConfig, LogConfig, ModelsConfig};
use common::package::Catalog;
use common::store::redis::{RedisConfig, RedisStore};
use common::telemetry;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The REST API of the image classification service: takes images, queues them on RabbitMQ, and answers
/// with what the workers store in Redis.
#[derive(Debug, Parser)]
#[command(name = "classifier-api", version)]
struct Arguments {
    #[command(flatten)]
    api: api::config::Config,
    #[command(flatten)]
    fleet: FleetConfig,
    #[command(flatten)]
    models: ModelsConfig,
    #[command(flatten)]
    log: LogConfig,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    telemetry::init(&arguments.log)?;
    let metrics = telemetry::install_metrics()?;
    api::check(&arguments.api)?;
    let stop = stop_on_signals()?;

    let fleet = arguments.fleet;
    let broker = RabbitMqBroker::connect(RabbitMqConfig {
        url: fleet.rabbitmq_url.clone(),
        prefix: fleet.fleet_prefix.clone(),
        limits: fleet.broker_limits(),
    });
    let store = RedisStore::connect(RedisConfig {
        url: fleet.redis_url.clone(),
        prefix: fleet.fleet_prefix.clone(),
        call_timeout: fleet.fleet_call_timeout,
    });
    let broker = broker.await.context("connecting to RabbitMQ (RABBITMQ_URL)")?;
    let store = store.await.context("connecting to Redis (REDIS_URL)")?;

    let listen = arguments.api.listen;
    let listener =
        TcpListener::bind(listen).await.with_context(|| format!("listening on {listen} (API_LISTEN)"))?;
    let parts = api::Parts {
        config: arguments.api,
        broker,
        store,
        catalog: Catalog::new(arguments.models.models_dir),
        metrics: Arc::clone(&metrics),
    };
    api::serve(listener, parts, stop).await?;
    Ok(())
}

/// Cancelled by SIGTERM, as orchestrators send it, and by Ctrl-C.
fn stop_on_signals() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let told = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to stop");
        told.cancel();
    });
    Ok(stop)
}
