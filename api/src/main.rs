//! The program `classifier-api`: one API process of a fleet.

use std::process::ExitCode;

use anyhow::Context as _;
use api::{ServeError, WorkersAt};
use clap::Parser;
use common::config::{FleetConfig, ModelsConfig};
use common::package::Catalog;
use common::program::{WRONG_SETTING, connect, exit_code, healthcheck, parse_settings, stop_on_signals};
use common::telemetry::LogConfig;
use common::telemetry::{self, Role};
use tokio::runtime::Runtime;
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

    /// Ask the API process that listens on this address whether it is alive, and exit with 0 or 1: the health check of
    /// a container. Whether predictions are answered is told by `/health/ready`.
    #[arg(long)]
    healthcheck: bool,
}

fn main() -> ExitCode {
    // First, so that no signal is missed.
    let stop = stop_on_signals();
    let arguments: Arguments = parse_settings();
    let ended = stop.context("no handlers for signals").and_then(|stop| start(arguments, stop));
    ended.map_or_else(|error| ExitCode::from(told(&error)), |()| ExitCode::SUCCESS)
}

/// Prints an error and returns its exit code.
fn told(error: &anyhow::Error) -> u8 {
    let code = if error.is::<ServeError>() { WRONG_SETTING } else { exit_code(error.as_ref()) };
    // Like errors of the command line: independent of the log settings.
    eprintln!("error: {error:#}");
    code
}

fn start(arguments: Arguments, stop: CancellationToken) -> anyhow::Result<()> {
    let runtime = Runtime::new().context("the runtime could not be started")?;
    if arguments.healthcheck {
        return Ok(runtime.block_on(healthcheck(arguments.api.listen, "/health/live"))?);
    }
    telemetry::init(&arguments.log)?;
    api::check(&arguments.api)?;
    let catalog = arguments.models.catalog()?;
    let ended = runtime.block_on(serve(arguments, catalog, stop));
    // Does not wait for a hanging disk.
    runtime.shutdown_background();
    ended
}

async fn serve(arguments: Arguments, catalog: Catalog, stop: CancellationToken) -> anyhow::Result<()> {
    let metrics = telemetry::install_metrics(&[Role::Api])?;
    let (broker, store) = connect(&arguments.fleet)?;
    let listen = arguments.api.listen;
    let listener =
        common::program::listen(listen).with_context(|| format!("listening on {listen} (API_LISTEN)"))?;
    let (declared, workers) = (None, WorkersAt::Elsewhere);
    let parts = api::Parts { config: arguments.api, broker, store, catalog, metrics, declared, workers };
    Ok(api::serve(listener, parts, stop).await?)
}
