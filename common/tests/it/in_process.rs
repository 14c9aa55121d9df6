//! The broker of a single process.

use std::sync::Arc;
use std::time::Duration;

use common::broker::in_process::InProcessBroker;
use common::broker::{Broker, BrokerError, BrokerLimits};
use common::ids::JobId;
use testing::broker::{Bench, MAX_PARTS};
use testing::samples::{images_mut, part};

struct OneProcess(Arc<InProcessBroker>);

#[async_trait::async_trait]
impl Bench for OneProcess {
    async fn broker(&self) -> Arc<dyn Broker> {
        Arc::clone(&self.0) as Arc<dyn Broker>
    }
}

fn bench() -> OneProcess {
    let limits = BrokerLimits { max_parts: MAX_PARTS, max_bytes: None, call_timeout: Duration::from_secs(5) };
    OneProcess(InProcessBroker::new(limits))
}

testing::broker_contract!(bench());

#[tokio::test]
async fn parts_in_the_queue_and_delivered_parts_are_bounded_in_bytes() {
    const KIB: u64 = 1 << 10;
    let limits =
        BrokerLimits { max_parts: 1_000, max_bytes: Some(250 * KIB), call_timeout: Duration::from_secs(5) };
    let broker = InProcessBroker::new(limits);
    let large = |kib: usize| {
        let mut part = part(JobId::random(), 0);
        images_mut(&mut part)[0].bytes = vec![7; kib << 10].into();
        part
    };
    broker.publish(large(100)).await.unwrap();
    broker.publish(large(100)).await.unwrap();
    let is_full = async || matches!(broker.publish(large(100)).await, Err(BrokerError::Full));
    assert!(is_full().await);
    // A delivered part still counts as memory, also when it comes back.
    let mut consumer = broker.consume(1).await.unwrap();
    let delivery = consumer.next().await.unwrap().unwrap();
    assert!(is_full().await);
    delivery.acknowledge.requeue().await.unwrap();
    assert!(is_full().await);
    for _ in 0..2 {
        let delivery = consumer.next().await.unwrap().unwrap();
        delivery.acknowledge.ack().await.unwrap();
    }
    // A single part may exceed the limit.
    broker.publish(large(300)).await.unwrap();
    assert!(is_full().await);
}
