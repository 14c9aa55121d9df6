//! The broker on a real RabbitMQ.

use std::sync::Arc;
use std::time::Duration;

use common::broker::rabbitmq::{RabbitMqBroker, RabbitMqConfig};
use common::broker::{Broker, BrokerLimits};
use testing::broker::{Bench, MAX_PARTS};
use testing::{shared_rabbitmq, unique_prefix};

mod cluster;
mod deleted;
mod foreign;
mod refused;
mod restart;
mod under_way;

struct Shared(RabbitMqConfig);

#[async_trait::async_trait]
impl Bench for Shared {
    async fn broker(&self) -> Arc<dyn Broker> {
        RabbitMqBroker::connect(self.0.clone()).await.unwrap()
    }
}

fn config(url: String) -> RabbitMqConfig {
    let limits =
        BrokerLimits { max_parts: MAX_PARTS, max_bytes: None, call_timeout: Duration::from_secs(20) };
    RabbitMqConfig { url, prefix: unique_prefix(), limits }
}

testing::broker_contract!(Shared(config(shared_rabbitmq().url())));
