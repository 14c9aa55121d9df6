//! The operator's fix for the only outage without automatic recovery: a queue that has lost its process.

use std::sync::Arc;
use std::time::Duration;

use common::broker::rabbitmq::{RabbitMqBroker, RabbitMqConfig};
use common::broker::{Broker as _, BrokerLimits};
use testing::RabbitMqControl;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::clients::Tally;
use super::tell;

/// A fleet without answers for this long is examined.
const SILENT: Duration = Duration::from_secs(25);

/// Timeout for a healthy queue to accept a subscription.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The storm's own connection to RabbitMQ, without the programs' proxies.
pub(super) async fn connect(url: String) -> Arc<RabbitMqBroker> {
    let limits = BrokerLimits { max_parts: 2000, max_bytes: None, call_timeout: CALL_TIMEOUT };
    let config = RabbitMqConfig { url, prefix: "classifier".to_owned(), limits };
    RabbitMqBroker::connect(config).await.unwrap()
}

/// Deletes a queue that accepts no subscription, not even this operator's: see docs/outages.md. A fleet that is silent
/// with a healthy queue is left as it is, and fails the storm. Runs until it is dropped.
pub(super) async fn watch(url: String, control: RabbitMqControl, tally: Arc<Tally>) {
    let broker = connect(url).await;
    loop {
        sleep(Duration::from_secs(1)).await;
        if tally.silence() < SILENT {
            continue;
        }
        if broker.consume(1).await.is_ok() {
            continue;
        }
        // A server that was only out of reach is examined again later.
        let operator = control.clone();
        spawn_blocking(move || operator.run(&["await_startup"])).await.unwrap();
        let Err(fault) = broker.consume(1).await else { continue };
        tell(&format!("storm: the operator deletes a queue that takes no subscription: {fault}"));
        tally.loss();
        let control = control.clone();
        let deleting = spawn_blocking(move || {
            for queue in ["parts", "probe"] {
                control.delete_queue(&format!("classifier.{queue}"));
            }
        });
        deleting.await.unwrap();
        tally.loss();
        sleep(SILENT).await;
    }
}
