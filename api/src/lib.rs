//! The REST API of the image classification service: admission, waiting, fleet control.
//!
//! Reading order: [`config`] has the settings. `service` assembles the API, `server` accepts connections, and `router`
//! lists the routes. `auth`, `observe` (with `trace`), `body`, `prefix` and `guard` apply to every request. `failure` has the errors,
//! `door` hands them to the door that was used, and `problem` renders those of the REST API. `predict` handles
//! predictions, with `shares` and `answered`. `fleet` handles swaps, which [`rollout`] runs. `wanted` and `last_seen`
//! know the model, `disk` the packages. [`wire`] has the bodies of requests and answers. `models`, `ops` and `openapi` are the
//! rest.

mod answered;
mod app;
mod auth;
mod body;
mod budget;
pub mod config;
mod disk;
mod door;
mod extract;
mod failure;
mod fleet;
mod guard;
mod keys;
mod label_sizes;
mod last_seen;
mod models;
mod observe;
mod openapi;
mod ops;
mod paths;
mod predict;
mod prefix;
mod problem;
pub mod process;
mod queue_delay;
pub mod rollout;
mod router;
mod server;
mod service;
mod shares;
mod trace;
mod waiting;
mod wanted;
pub mod wire;

use std::sync::Arc;

use common::broker::Broker;
use common::ids::ModelName;
use common::package::Catalog;
use common::program::raise_open_files;
use common::store::Store;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::keys::KeyRing;
use crate::server::ServerLimits;
use crate::service::Service;

/// The parts of an API process.
pub struct Parts {
    /// Its settings.
    pub config: Config,
    /// The queue of work.
    pub broker: Arc<dyn Broker>,
    /// Jobs, results and the fleet's state.
    pub store: Arc<dyn Store>,
    /// The model packages.
    pub catalog: Catalog,
    /// Renders the process's metrics as Prometheus text.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// The model that another component activates at the start, if any: until then the process is not ready, and
    /// predictions should be retried.
    pub declared: Option<ModelName>,
    /// Where the workers run.
    pub workers: WorkersAt,
}

/// Where the workers of an API process run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkersAt {
    /// In separate processes, which come and go: the API is ready without any, so that a fleet can scale up from zero.
    Elsewhere,
    /// In this process: without it no request is answered.
    Here,
}

/// Why the API cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// No key is configured. Without a key anyone could use the service, so that is not supported.
    #[error("no API key is configured: set the environment variable X_API_KEY, there is no default key")]
    NoApiKey,
    /// The settings are contradictory.
    #[error("the settings cannot be used: {}", .0.join("; "))]
    Config(Vec<String>),
}

/// Checks the settings before any connection or listener exists.
///
/// # Errors
/// [`ServeError`].
pub fn check(config: &Config) -> Result<(), ServeError> {
    key_ring(config).map(|_| ())
}

fn key_ring(config: &Config) -> Result<KeyRing, ServeError> {
    // A key that cannot be parsed is reported as such, not as a missing key.
    let keys = KeyRing::new(config);
    if keys.is_none() && config.key_problems().is_empty() {
        return Err(ServeError::NoApiKey);
    }
    let problems = config.problems();
    if problems.is_empty() { keys.ok_or(ServeError::NoApiKey) } else { Err(ServeError::Config(problems)) }
}

fn limits_of(config: &Config) -> ServerLimits {
    ServerLimits {
        head_timeout: config.head_timeout,
        write_timeout: config.write_timeout,
        max_connections: config.max_connections,
        stop_grace: config.stop_grace,
    }
}

/// File descriptors reserved for other uses than client connections: broker, store, packages, logs.
const OTHER_FILES: u64 = 200;

/// Returns the number of connections, limited by the number of open files.
fn connections(config: &Config, files: Option<u64>) -> usize {
    let room = files.map_or(u64::MAX, |files| files.saturating_sub(OTHER_FILES).max(files / 2));
    config.max_connections.min(usize::try_from(room).unwrap_or(usize::MAX)).max(1)
}

/// Serves the API on `listener`. After `stop` it is not ready, but serves until the stop delay is over, so that load
/// balancers notice. Then it accepts no more connections, answers open requests and returns.
///
/// # Errors
/// [`ServeError`], before the first connection is accepted.
pub async fn serve(listener: TcpListener, parts: Parts, stop: CancellationToken) -> Result<(), ServeError> {
    let mut parts = parts;
    let (files, wanted) = (raise_open_files(), parts.config.max_connections);
    parts.config.max_connections = connections(&parts.config, files);
    let max_connections = parts.config.max_connections;
    if max_connections < wanted {
        tracing::warn!(
            files,
            max_connections,
            wanted,
            "fewer connections than API_MAX_CONNECTIONS says: the limit of open files does not allow for more"
        );
    } else {
        tracing::info!(files, max_connections, "open files");
    }
    let limits = limits_of(&parts.config);
    let service = Service::start(parts, stop)?;
    let address =
        listener.local_addr().map_or_else(|_| "an address".to_owned(), |address| address.to_string());
    tracing::info!("the API listens on {address}");
    server::serve(listener, service.router(), limits, service.closing()).await;
    tracing::info!("the API has answered what was open and stops");
    Ok(())
}
