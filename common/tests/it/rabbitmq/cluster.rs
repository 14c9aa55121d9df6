//! The guarantees of a cluster of three whose nodes crash.

use std::sync::Arc;
use std::time::Duration;

use common::broker::rabbitmq::{RabbitMqBroker, RabbitMqConfig};
use common::broker::{Broker, BrokerError, BrokerLimits};
use common::ids::JobId;
use testing::broker::take;
use testing::samples::part;
use testing::{RabbitMqCluster, unique_prefix};
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep, timeout};

const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// A cluster recovers slowly where many tests run.
const HEALS: Duration = Duration::from_secs(120);

async fn heals(broker: &Arc<RabbitMqBroker>) {
    let again = async {
        while broker.can_publish().await.is_err() || broker.publish(part(JobId::random(), 0)).await.is_err() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    let healed = timeout(HEALS, again).await;
    assert!(healed.is_ok(), "parts are not taken again: {:?}", broker.can_publish().await);
}

/// The leader of a queue is where it was declared: on the first node here, and clients are on the second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_without_its_leader_or_its_majority_is_not_full_and_heals() {
    let mut cluster = block_in_place(RabbitMqCluster::start);
    let limits = BrokerLimits { max_parts: 1_000, max_bytes: None, call_timeout: CALL_TIMEOUT };
    let first = RabbitMqConfig { url: cluster.url(0), prefix: unique_prefix(), limits };
    let second = RabbitMqConfig { url: cluster.url(1), ..first.clone() };
    drop(RabbitMqBroker::connect(first.clone()).await.unwrap());
    let broker = RabbitMqBroker::connect(second).await.unwrap();
    heals(&broker).await;
    block_in_place(|| cluster.settle(0, &first.prefix));

    // A queue on the first node only, as one that is older than the cluster.
    let limits = BrokerLimits { call_timeout: Duration::from_secs(3), ..limits };
    let single = RabbitMqConfig { prefix: unique_prefix(), limits, ..first.clone() };
    drop(RabbitMqBroker::connect(single.clone()).await.unwrap());
    let single_parts = format!("{}.parts", single.prefix);
    block_in_place(|| {
        for other in [1, 2] {
            cluster.control(0).delete_member(&single_parts, &cluster.control(other));
        }
        cluster.settle(0, &single.prefix);
    });
    let single = RabbitMqBroker::connect(RabbitMqConfig { url: cluster.url(1), ..single }).await.unwrap();
    heals(&single).await;

    // Without the leader's node.
    block_in_place(|| cluster.kill(0));
    for index in 0..4 {
        let refused = single.publish(part(JobId::random(), index)).await;
        eprintln!("a queue without any member: {refused:?}");
        assert!(
            matches!(refused, Err(BrokerError::Unavailable(_) | BrokerError::Refused(_))),
            "an empty queue: {refused:?}"
        );
    }
    let ready = single.can_publish().await;
    assert!(ready.is_err(), "{ready:?}");
    let (mut taken, mut refused) = (0, Vec::new());
    let until = Instant::now() + Duration::from_secs(12);
    while Instant::now() < until {
        match broker.publish(part(JobId::random(), 1)).await {
            Ok(()) => taken += 1,
            Err(BrokerError::Full) => panic!("an empty queue is called full after {taken} parts"),
            Err(error) => refused.push(error.to_string()),
        }
        sleep(Duration::from_millis(20)).await;
    }
    assert!(taken > 100, "{taken} parts are taken, {refused:?}");
    broker.can_publish().await.unwrap();
    let mut consumer = broker.consume(1).await.unwrap();
    take(&mut consumer).await.acknowledge.ack().await.unwrap();
    drop(consumer);

    // Without a majority.
    block_in_place(|| cluster.kill(2));
    let begin = Instant::now();
    let reason = async {
        loop {
            let asked = Instant::now();
            let answer = broker.can_publish().await;
            assert!(asked.elapsed() < Duration::from_millis(2_500), "it took {:?}", asked.elapsed());
            match answer {
                Err(BrokerError::Refused(reason)) => break reason,
                Ok(()) | Err(BrokerError::Unavailable(_)) => sleep(Duration::from_millis(50)).await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    let reason = timeout(Duration::from_secs(30), reason).await.expect("it is told");
    assert!(reason.contains("majority of its nodes"), "{reason}");
    eprintln!("without a majority it is refused after {:?}: {reason}", begin.elapsed());

    block_in_place(|| cluster.restart(0));
    let begin = Instant::now();
    heals(&broker).await;
    eprintln!("the cluster takes parts {:?} after its majority is back", begin.elapsed());
}
