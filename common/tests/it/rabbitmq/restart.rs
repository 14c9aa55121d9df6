//! The guarantees while RabbitMQ crashes, stops, hangs and comes back.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::broker::rabbitmq::{RabbitMqBroker, RabbitMqConfig};
use common::broker::{Broker, BrokerError, BrokerLimits};
use common::ids::JobId;
use common::messages::PartId;
use testing::broker::take;
use testing::samples::part;
use testing::{RabbitMqServer, unique_prefix};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// The timeout of a call here, with the delay of a busy machine.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);
const SLACK: Duration = Duration::from_secs(3);

/// A server comes back slowly where many tests run.
const COMES_BACK: Duration = Duration::from_secs(180);

fn config(server: &RabbitMqServer) -> RabbitMqConfig {
    let limits = BrokerLimits { max_parts: 1_000_000, max_bytes: None, call_timeout: CALL_TIMEOUT };
    RabbitMqConfig { url: server.url(), prefix: unique_prefix(), limits }
}

/// Publishes one part after the other until `stop`; returns the confirmed ones.
async fn publish_on(broker: Arc<RabbitMqBroker>, count: watch::Sender<u32>) -> HashSet<PartId> {
    let job = JobId::random();
    let mut confirmed = HashSet::new();
    for index in 0.. {
        let begin = Instant::now();
        match broker.publish(part(job, index)).await {
            Ok(()) => {
                confirmed.insert(PartId { job, index });
            }
            Err(BrokerError::Unavailable(_)) => {}
            Err(error @ (BrokerError::Full | BrokerError::Refused(_) | BrokerError::Malformed(_))) => {
                panic!("{error}")
            }
        }
        assert!(begin.elapsed() < CALL_TIMEOUT + SLACK, "a call took {:?}", begin.elapsed());
        let confirmed_now = u32::try_from(confirmed.len()).unwrap();
        if count.send(confirmed_now).is_err() {
            break;
        }
        // Leaves the server some CPU time.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    confirmed
}

/// Takes and acknowledges parts forever, with a new consumer after each failure.
async fn work_on(broker: Arc<RabbitMqBroker>, seen: Arc<Mutex<HashSet<PartId>>>) {
    loop {
        let Ok(mut consumer) = broker.consume(16).await else { continue };
        while let Ok(Some(delivery)) = consumer.next().await {
            seen.lock().unwrap().insert(delivery.part.id);
            // After a failure the part comes back, which is allowed.
            let _ = delivery.acknowledge.ack().await;
        }
    }
}

async fn confirmed_more(count: &mut watch::Receiver<u32>, more: u32) {
    let goal = *count.borrow() + more;
    let waiting = count.wait_for(|now| *now >= goal);
    timeout(COMES_BACK, waiting).await.expect("parts are confirmed again").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_confirmed_part_arrives_although_the_server_dies_and_stops() {
    let mut server = RabbitMqServer::start();
    let config = config(&server);
    let publisher = RabbitMqBroker::connect(config.clone()).await.unwrap();
    let worker = RabbitMqBroker::connect(config.clone()).await.unwrap();
    let seen = Arc::new(Mutex::new(HashSet::new()));
    let working = tokio::spawn(work_on(worker, Arc::clone(&seen)));
    let (sender, mut count) = watch::channel(0);
    let publishing = tokio::spawn(publish_on(publisher, sender));
    tokio::task::block_in_place(|| server.settle(&config.prefix));

    confirmed_more(&mut count, 50).await;
    tokio::task::block_in_place(|| {
        server.kill();
        server.restart();
    });
    confirmed_more(&mut count, 50).await;
    tokio::task::block_in_place(|| {
        server.stop();
        server.restart();
    });
    confirmed_more(&mut count, 50).await;
    drop(count);

    let confirmed = publishing.await.unwrap();
    let arrived = async {
        while !confirmed.is_subset(&seen.lock().unwrap()) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let all = timeout(COMES_BACK, arrived).await;
    let missing = confirmed.difference(&seen.lock().unwrap()).count();
    assert!(all.is_ok(), "{missing} of {} confirmed parts are missing", confirmed.len());
    working.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_bounded_while_the_server_hangs_or_is_gone() {
    let mut server = RabbitMqServer::start();
    let config = config(&server);
    let broker = RabbitMqBroker::connect(config.clone()).await.unwrap();
    let waiting = part(JobId::random(), 0);
    broker.publish(waiting.clone()).await.unwrap();
    let mut consumer = broker.consume(1).await.unwrap();
    let in_hand = take(&mut consumer).await;

    let check = async |state: &str| {
        let begin = Instant::now();
        let calls = tokio::join!(
            async {
                // A result is cached for a second.
                sleep(Duration::from_millis(1_100)).await;
                broker.can_publish().await
            },
            broker.publish(part(JobId::random(), 0)),
            async { broker.consume(1).await.map(drop) },
            async { broker.dead_letters(1).await.map(drop) },
            async { broker.listen().await.map(drop) },
        );
        assert!(begin.elapsed() < CALL_TIMEOUT + SLACK, "{state}: calls took {:?}", begin.elapsed());
        for outcome in [calls.0, calls.1, calls.2, calls.3, calls.4] {
            assert!(matches!(outcome, Err(BrokerError::Unavailable(_))), "{state}: {outcome:?}");
        }
    };
    server.freeze();
    check("the server hangs").await;
    server.thaw();
    tokio::task::block_in_place(|| server.settle(&config.prefix));
    timeout(COMES_BACK, async { while broker.can_publish().await.is_err() {} })
        .await
        .expect("it answers again");

    tokio::task::block_in_place(|| server.kill());
    check("the server is gone").await;
    assert!(in_hand.acknowledge.ack().await.is_err(), "an acknowledgement was lost and nobody said so");
    let ended = timeout(COMES_BACK, consumer.next()).await.expect("the consumer notices");
    assert!(matches!(ended, Err(BrokerError::Unavailable(_))), "{ended:?}");

    tokio::task::block_in_place(|| server.restart());
    timeout(COMES_BACK, async { while broker.can_publish().await.is_err() {} })
        .await
        .expect("it answers again");
    let again = async {
        loop {
            // Just after a restart its queue may have no leader yet.
            if let Ok(consumer) = broker.consume(16).await {
                break consumer;
            }
        }
    };
    let mut consumer = timeout(COMES_BACK, again).await.expect("parts are delivered again");
    // Parts whose publication was given up may be there as well.
    while take(&mut consumer).await.part != waiting {}
}
