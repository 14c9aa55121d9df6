//! Reaching RabbitMQ and Redis, however long they take to come up.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::broker::rabbitmq::{RabbitMqBroker, RabbitMqConfig};
use crate::config::FleetConfig;
use crate::store::redis::{RedisConfig, RedisStore};

/// First pause between two attempts; doubled up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Connects to the servers of a fleet. Tries for as long as it takes and logs each failure: a program
/// that is started beside its servers, or while they restart, comes up with them.
pub async fn connect(fleet: &FleetConfig) -> (Arc<RabbitMqBroker>, Arc<RedisStore>) {
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
    tokio::join!(
        persistently("RabbitMQ (RABBITMQ_URL)", || RabbitMqBroker::connect(broker.clone())),
        persistently("Redis (REDIS_URL)", || RedisStore::connect(store.clone())),
    )
}

async fn persistently<T, E: Display, F: Future<Output = Result<T, E>>>(
    server: &str,
    mut attempt: impl FnMut() -> F,
) -> T {
    tracing::info!("connecting to {server}");
    let mut pause = FIRST_PAUSE;
    loop {
        match attempt().await {
            Ok(connection) => {
                tracing::info!("connected to {server}");
                return connection;
            }
            Err(error) => tracing::warn!(%error, ?pause, "no connection to {server}, trying again"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
