//! Connects to RabbitMQ and Redis, whenever they become reachable.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::broker::rabbitmq::{RabbitMqBroker, RabbitMqConfig};
use crate::broker::{Broker as _, BrokerError};
use crate::config::{FleetConfig, WrongSetting};
use crate::patience::Backoff;
use crate::store::Store as _;
use crate::store::redis::{RedisConfig, RedisStore};

/// Interval between two checks whether a server is reachable.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// Returns the broker and the store of a fleet at once, whether or not their servers are up: calls connect on demand.
/// Logs when each server is reached first, and the reason until then. Must be called inside a runtime.
///
/// # Errors
/// An address that can never work.
pub fn connect(fleet: &FleetConfig) -> Result<(Arc<RabbitMqBroker>, Arc<RedisStore>), WrongSetting> {
    let (broker, store) = (new_broker(fleet)?, new_store(fleet)?);
    let (queue, results) = (Arc::clone(&broker), Arc::clone(&store));
    tokio::spawn(reach("RabbitMQ (RABBITMQ_URL)", move || {
        let queue = Arc::clone(&queue);
        async move { queue.can_publish().await }
    }));
    tokio::spawn(reach("Redis (REDIS_URL)", move || {
        let results = Arc::clone(&results);
        async move { results.can_write().await }
    }));
    Ok((broker, store))
}

fn new_broker(fleet: &FleetConfig) -> Result<Arc<RabbitMqBroker>, WrongSetting> {
    let config = RabbitMqConfig {
        url: fleet.rabbitmq_url.clone(),
        prefix: fleet.fleet_prefix.clone(),
        limits: fleet.broker_limits(),
    };
    RabbitMqBroker::new(config).map_err(|error| WrongSetting {
        variable: "RABBITMQ_URL",
        fault: match error {
            BrokerError::Malformed(fault) | BrokerError::Refused(fault) => fault,
            other @ (BrokerError::Full | BrokerError::Unavailable(_)) => other.to_string(),
        },
    })
}

fn new_store(fleet: &FleetConfig) -> Result<Arc<RedisStore>, WrongSetting> {
    let config = RedisConfig {
        url: fleet.redis_url.clone(),
        prefix: fleet.fleet_prefix.clone(),
        call_timeout: fleet.fleet_call_timeout,
    };
    RedisStore::new(config).map_err(|error| WrongSetting { variable: "REDIS_URL", fault: error.to_string() })
}

/// Checks until the server is reached. Errors are logged where they occur. Needs no bound: no caller waits for it, and
/// it ends with the runtime.
async fn reach<E, F: Future<Output = Result<(), E>>>(server: &str, mut ask: impl FnMut() -> F) {
    tracing::info!("connecting to {server}");
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    while ask().await.is_err() {
        backoff.pause().await;
    }
    tracing::info!("connected to {server}");
}
