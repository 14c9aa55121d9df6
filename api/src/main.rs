//! The program `classifier-api`: one API process of a fleet.

use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use common::config::{FleetConfig, LogConfig, ModelsConfig};
use common::package::Catalog;
use common::program::{connect, healthcheck, stop_on_signals};
use common::telemetry;
use tokio::net::TcpListener;

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

    /// Ask the API process that listens at this address whether it lives, and end with 0 or 1: the health
    /// check of a container. That workers are ready is another question: `/health/ready` tells.
    #[arg(long)]
    healthcheck: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if arguments.healthcheck {
        return Ok(healthcheck(arguments.api.listen, "/health/live").await?);
    }
    telemetry::init(&arguments.log)?;
    let metrics = telemetry::install_metrics()?;
    api::check(&arguments.api)?;
    let stop = stop_on_signals()?;

    let Some((broker, store)) = stop.run_until_cancelled(connect(&arguments.fleet)).await else {
        return Ok(());
    };
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
