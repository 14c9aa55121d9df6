//! What an operator does about the one outage that no program heals: a queue that has lost its process.

use std::sync::Arc;
use std::time::Duration;

use common::broker::rabbitmq::{RabbitMqBroker, RabbitMqConfig};
use common::broker::{Broker as _, BrokerLimits};
use testing::RabbitMqControl;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::clients::Tally;
use super::tell;

/// A fleet that has given no answer for this long is looked at.
const SILENT: Duration = Duration::from_secs(25);

/// Longest time for a healthy queue to take a subscription.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The storm's own way to RabbitMQ, without what lies before the programs.
pub(super) async fn connect(url: String) -> Arc<RabbitMqBroker> {
    let limits = BrokerLimits { max_parts: 2000, max_bytes: None, call_timeout: CALL_TIMEOUT };
    let config = RabbitMqConfig { url, prefix: "classifier".to_owned(), limits };
    RabbitMqBroker::connect(config).await.unwrap()
}

/// Deletes a queue to which nobody can subscribe, not even this operator: see docs/outages.md. A fleet that is silent
/// before a healthy queue is left as it is, and fails the storm. Runs until it is dropped.
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
        // A server that was only away gets a second look once it is there.
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
