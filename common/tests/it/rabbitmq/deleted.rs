//! The guarantees when an operator deletes what a running fleet uses.

use std::sync::Arc;
use std::time::Duration;

use common::broker::rabbitmq::{RabbitMqBroker, RabbitMqConfig};
use common::broker::{Broker, BrokerError, Consumer, Hint};
use common::ids::{Generation, JobId};
use testing::broker::{take, until_depth};
use testing::samples::part;
use testing::{RabbitMqControl, RabbitMqServer, shared_rabbitmq, unique_prefix};
use tokio::task::block_in_place;
use tokio::time::{Instant, timeout};

/// Far longer than a consumer takes to notice.
const SOON: Duration = Duration::from_secs(20);

async fn operate(act: impl FnOnce(&RabbitMqControl) + Send + 'static) {
    let control = shared_rabbitmq().control();
    tokio::task::spawn_blocking(move || act(&control)).await.unwrap();
}

/// The consumer keeps reporting that it has ended, and stopping it takes no time.
async fn has_ended(mut consumer: Box<dyn Consumer>) {
    // Parts that had arrived before are returned first.
    while let Ok(next) = timeout(SOON, consumer.next()).await.expect("the consumer notices") {
        assert!(next.is_some(), "nobody stopped it");
    }
    for _ in 0..2 {
        let ended = timeout(SOON, consumer.next()).await.expect("the consumer notices");
        assert!(matches!(ended, Err(BrokerError::Unavailable(_))), "{ended:?}");
    }
    timeout(SOON, consumer.stop()).await.expect("it does not wait for a stream that has ended").unwrap();
}

async fn works(broker: &Arc<dyn Broker>) {
    let one = part(JobId::random(), 0);
    broker.publish(one.clone()).await.unwrap();
    let mut consumer = broker.consume(1).await.unwrap();
    let delivery = take(&mut consumer).await;
    assert_eq!(delivery.part, one);
    delivery.acknowledge.ack().await.unwrap();
    let mut listener = broker.listen().await.unwrap();
    let hint = Hint::FleetChanged(Generation(7));
    broker.broadcast(hint).await.unwrap();
    assert_eq!(timeout(SOON, listener.next()).await.expect("a hint comes").unwrap(), hint);
    broker.can_publish().await.unwrap();
    consumer.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_deleted_under_its_consumer_is_made_anew() {
    let config = super::config(shared_rabbitmq().url());
    let queue = format!("{}.parts", config.prefix);
    let broker: Arc<dyn Broker> = RabbitMqBroker::connect(config).await.unwrap();
    broker.publish(part(JobId::random(), 0)).await.unwrap();
    let mut idle = broker.consume(1).await.unwrap();
    let in_hand = take(&mut idle).await;
    let mut stopped = broker.consume(1).await.unwrap();
    operate(move |control| control.delete_queue(&queue)).await;

    has_ended(idle).await;
    // A consumer that is stopped before it has noticed.
    timeout(SOON, stopped.stop()).await.expect("it does not wait for a stream that has ended").unwrap();
    // Its queue is gone, with its unacknowledged parts.
    let _ = timeout(SOON, in_hand.acknowledge.ack()).await.expect("it is bounded");
    works(&broker).await;
    until_depth(&broker, |depth| depth.waiting == 0 && depth.consumers == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_virtual_host_that_is_deleted_and_made_again_is_used_again() {
    let vhost = unique_prefix();
    let url = shared_rabbitmq().control().url("guest", "guest", &vhost);
    let name = vhost.clone();
    operate(move |control| control.add_vhost(&name)).await;
    let broker: Arc<dyn Broker> = RabbitMqBroker::connect(super::config(url)).await.unwrap();
    let consumer = broker.consume(1).await.unwrap();
    let mut listener = broker.listen().await.unwrap();
    broker.publish(part(JobId::random(), 0)).await.unwrap();
    let name = vhost.clone();
    operate(move |control| control.delete_vhost(&name)).await;

    has_ended(consumer).await;
    for _ in 0..2 {
        assert!(timeout(SOON, listener.next()).await.expect("the listener notices").is_err());
    }
    let refused = broker.publish(part(JobId::random(), 0)).await;
    assert!(matches!(&refused, Err(BrokerError::Refused(why)) if why.contains("not found")), "{refused:?}");

    operate(move |control| control.add_vhost(&vhost)).await;
    let again = async { while broker.can_publish().await.is_err() {} };
    timeout(SOON, again).await.expect("it is used again");
    let depth = async { while broker.depth().await.is_err() {} };
    timeout(SOON, depth).await.expect("it is used again");
    works(&broker).await;
}

/// RabbitMQ writes the location of a new queue a moment after its declaration. If it is killed before, it comes back
/// with a queue that never gets a process (seen with 3.10). Deleting it is an operator's decision: a program cannot
/// tell it from a queue whose leader election is slow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_lost_its_process_is_not_ready_until_an_operator_deletes_it() {
    let mut server = RabbitMqServer::start();
    let config = with_url(server.url());
    let prefix = config.prefix.clone();
    let broker: Arc<dyn Broker> = RabbitMqBroker::connect(config).await.unwrap();
    block_in_place(|| {
        server.kill();
        server.restart();
    });
    let until = Instant::now() + SOON;
    while Instant::now() < until {
        let published = broker.publish(part(JobId::random(), 0)).await;
        assert!(published.is_err(), "the queue was written down before the kill: the test shows nothing");
    }
    let ready = broker.can_publish().await;
    assert!(ready.is_err(), "it takes nothing");
    block_in_place(|| {
        for queue in ["parts", "probe"] {
            server.control().delete_queue(&format!("{prefix}.{queue}"));
        }
    });
    works(&broker).await;
}

fn with_url(url: String) -> RabbitMqConfig {
    let mut config = super::config(url);
    config.limits.call_timeout = Duration::from_secs(5);
    config
}

/// What a real server will certainly refuse fails at once, with its reason.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_refuses_for_certain_is_said_at_once() {
    let control = shared_rabbitmq().control();
    let user = unique_prefix();
    let name = user.clone();
    operate(move |control| {
        control.add_user(&name, "right");
        control.permit(&name, "/", "nothing");
    })
    .await;
    for (url, why) in [
        (control.url(&user, "wrong", "/"), "Login was refused"),
        (control.url("guest", "guest", "no-such-host"), "vhost no-such-host not found"),
        (control.url(&user, "right", "/"), "refused for user"),
    ] {
        let broker = RabbitMqBroker::new(with_url(url)).unwrap();
        let outcome = timeout(Duration::from_secs(4), broker.publish(part(JobId::random(), 0))).await;
        let outcome = outcome.expect("it does not go on trying");
        assert!(
            matches!(&outcome, Err(BrokerError::Refused(said)) if said.contains(why)),
            "{why}: {outcome:?}"
        );
        let ready = broker.can_publish().await;
        assert!(matches!(&ready, Err(BrokerError::Refused(said)) if said.contains(why)), "{why}: {ready:?}");
    }
    let config = with_url(shared_rabbitmq().url());
    let queue = format!("{}.parts", config.prefix);
    super::foreign::declare_classic(&queue).await;
    let refused = RabbitMqBroker::connect(config).await.err();
    assert!(
        matches!(&refused, Some(BrokerError::Refused(why)) if why.contains("inequivalent arg")),
        "{refused:?}"
    );
}
