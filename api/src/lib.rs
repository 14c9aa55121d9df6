//! The REST API of the image classification service: admission, waiting, fleet control.
//!
//! Reading order: [`config`] is what can be set; `server` accepts connections and `router` lists the
//! routes; `auth`, `observe`, `body` and `error` stand around every request; `predict` is the way of a
//! prediction, which `answered` ends, and `fleet` that of a swap, which [`rollout`] drives; `models`, `ops` and
//! `openapi` are the rest.

mod answered;
mod app;
mod auth;
mod body;
mod budget;
pub mod config;
mod error;
mod extract;
mod fleet;
mod models;
mod observe;
mod openapi;
mod ops;
mod predict;
mod queue_delay;
pub mod rollout;
mod router;
mod server;
#[cfg(feature = "testing")]
pub mod testing;
mod waiting;

use std::sync::Arc;

use common::broker::Broker;
use common::package::Catalog;
use common::store::Store;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::answered::Answered;
use crate::app::App;
use crate::auth::KeyRing;
use crate::budget::Budget;
use crate::config::Config;
use crate::predict::pin::LastSeen;
use crate::rollout::Coordinator;
use crate::server::ServerLimits;

/// What an API process is made of.
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
}

/// Why the API did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Without a key anyone could use it, so there is no way to run without one.
    #[error("no API key is configured: set the environment variable X_API_KEY, there is no default key")]
    NoApiKey,
    /// The settings do not fit together.
    #[error("the settings cannot be used: {}", .0.join("; "))]
    Config(Vec<String>),
}

/// Looks at the settings, before anything is connected or listened to.
///
/// # Errors
/// [`ServeError`].
pub fn check(config: &Config) -> Result<(), ServeError> {
    key_ring(config).map(|_| ())
}

fn key_ring(config: &Config) -> Result<KeyRing, ServeError> {
    let keys = KeyRing::new(config).ok_or(ServeError::NoApiKey)?;
    let problems = config.problems();
    if problems.is_empty() { Ok(keys) } else { Err(ServeError::Config(problems)) }
}

/// Serves the API on `listener` until `stop`, then answers the requests that are open and returns.
///
/// # Errors
/// [`ServeError`], before the first connection is accepted.
pub async fn serve(listener: TcpListener, parts: Parts, stop: CancellationToken) -> Result<(), ServeError> {
    let Parts { config, broker, store, catalog, metrics } = parts;
    let keys = key_ring(&config)?;
    let coordinator = Coordinator::new(Arc::clone(&broker), Arc::clone(&store), config.rollout_timing());
    coordinator.spawn_sweeper(stop.clone());
    let limits = ServerLimits {
        head_timeout: config.head_timeout,
        max_connections: config.max_connections,
        stop_grace: config.stop_grace,
    };
    let budget = Budget::new(config.max_bytes_in_flight);
    let answered = Answered::start(Arc::clone(&store), config.answered_retention.min(config.job_retention));
    let app = Arc::new(App {
        config,
        broker,
        store,
        catalog,
        metrics,
        keys,
        budget,
        answered,
        last_seen: LastSeen::default(),
        coordinator,
        stop: stop.clone(),
    });
    let address =
        listener.local_addr().map_or_else(|_| "an address".to_owned(), |address| address.to_string());
    tracing::info!("the API listens on {address}");
    server::serve(listener, router::router(&app), limits, &stop).await;
    tracing::info!("the API has answered what was open and stops");
    Ok(())
}
