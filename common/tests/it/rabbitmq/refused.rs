//! The guarantees while RabbitMQ refuses: short of memory or disk, or the login is wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::broker::rabbitmq::{RabbitMqBroker, RabbitMqConfig};
use common::broker::{Broker, BrokerError, BrokerLimits};
use common::ids::JobId;
use testing::broker::take;
use testing::samples::{images_mut, part};
use testing::{RabbitMqControl, RabbitMqServer, alone, shared_rabbitmq, unique_prefix};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

const CALL_TIMEOUT: Duration = Duration::from_secs(10);

fn config(url: String) -> RabbitMqConfig {
    let limits = BrokerLimits { max_parts: 1_000, max_bytes: None, call_timeout: CALL_TIMEOUT };
    RabbitMqConfig { url, prefix: unique_prefix(), limits }
}

/// Memory of this process, in MiB.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<usize>().unwrap() / 256
}

async fn operate<T: Send + 'static>(
    control: &RabbitMqControl,
    act: impl FnOnce(&RabbitMqControl) -> T + Send + 'static,
) -> T {
    let control = control.clone();
    tokio::task::spawn_blocking(move || act(&control)).await.unwrap()
}

/// 300 KB, like a photograph.
fn photo(index: u32) -> common::messages::Part {
    let mut part = part(JobId::random(), index);
    images_mut(&mut part)[0].bytes = vec![7; 300_000].into();
    part
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_an_alarm_calls_fail_at_once_and_no_connection_is_added() {
    if !alone("rabbitmq::refused::under_an_alarm_calls_fail_at_once_and_no_connection_is_added") {
        return;
    }
    let server = RabbitMqServer::start();
    let control = server.control();
    let broker = RabbitMqBroker::connect(config(server.url())).await.unwrap();
    let mut consumer = broker.consume(10).await.unwrap();
    broker.publish(part(JobId::random(), 0)).await.unwrap();
    let in_hand = take(&mut consumer).await;

    operate(&control, RabbitMqControl::raise_memory_alarm).await;
    // The server notifies publishers, and only when they publish: these are unconfirmed at that moment.
    let begin = Instant::now();
    let mut under_way = JoinSet::new();
    for index in 0..20 {
        let broker = Arc::clone(&broker);
        under_way.spawn(async move { broker.publish(photo(index)).await });
    }
    for outcome in under_way.join_all().await {
        assert!(
            matches!(&outcome, Err(BrokerError::Refused(why)) if why.contains("short of memory or disk")),
            "{outcome:?}"
        );
    }
    assert!(begin.elapsed() < Duration::from_secs(3), "they took {:?}", begin.elapsed());

    let before = memory();
    let mut took = Vec::new();
    for index in 0..200 {
        let begin = Instant::now();
        let refused = broker.publish(photo(index)).await;
        assert!(matches!(refused, Err(BrokerError::Refused(_))), "{refused:?}");
        assert!(matches!(broker.can_publish().await, Err(BrokerError::Refused(_))));
        took.push(begin.elapsed());
        sleep(Duration::from_millis(10)).await;
    }
    took.sort();
    // The machine may delay a few of them, and no more.
    assert!(took[180] < Duration::from_millis(100) && took[199] < CALL_TIMEOUT / 4, "{took:?}");
    let grown = memory().saturating_sub(before);
    assert!(grown < 20, "the memory grew by {grown} MiB");
    let connections = operate(&control, RabbitMqControl::connections).await;
    assert_eq!(connections.len(), 2, "{connections:?}");
    // Work continues: parts can be acknowledged.
    in_hand.acknowledge.ack().await.unwrap();

    operate(&control, RabbitMqControl::end_memory_alarm).await;
    let again = async { while broker.can_publish().await.is_err() {} };
    timeout(CALL_TIMEOUT, again).await.expect("it takes parts again");
    broker.publish(part(JobId::random(), 1)).await.unwrap();
    let connections = operate(&control, RabbitMqControl::connections).await;
    assert_eq!(connections.len(), 2, "{connections:?}");
}

/// A proxy before the shared server that counts connections.
async fn counted() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (port, count) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let counting = Arc::clone(&count);
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            counting.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let server = ("127.0.0.1", shared_rabbitmq().port());
                let mut server = TcpStream::connect(server).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (port, count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_login_is_tried_a_few_times_whoever_waits() {
    let user = unique_prefix();
    let control = shared_rabbitmq().control();
    let name = user.clone();
    operate(&control, move |control| {
        control.add_user(&name, "old");
        control.permit(&name, "/", ".*");
    })
    .await;
    let (port, count) = counted().await;
    let url = format!("amqp://{user}:new@127.0.0.1:{port}/%2f");
    let broker = RabbitMqBroker::new(config(url)).unwrap();

    let until = Instant::now() + Duration::from_secs(8);
    let mut callers = JoinSet::new();
    for index in 0..50 {
        let broker = Arc::clone(&broker);
        callers.spawn(async move {
            let mut slowest = Duration::ZERO;
            while Instant::now() < until {
                let begin = Instant::now();
                let refused = broker.publish(part(JobId::random(), index)).await;
                assert!(
                    matches!(&refused, Err(BrokerError::Refused(why)) if why.contains("Login was refused")),
                    "{refused:?}"
                );
                slowest = slowest.max(begin.elapsed());
                sleep(Duration::from_millis(50)).await;
            }
            slowest
        });
    }
    let slowest = callers.join_all().await.into_iter().max().unwrap();
    // RabbitMQ itself answers a wrong password only after a second.
    assert!(slowest < Duration::from_secs(4), "a call took {slowest:?}");
    let attempts = count.load(Ordering::Relaxed);
    assert!((2..=10).contains(&attempts), "{attempts} attempts in 8 s");

    operate(&control, move |control| control.change_password(&user, "new")).await;
    let again = async {
        while broker.can_publish().await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(CALL_TIMEOUT, again).await.expect("it is let in");
}

/// While a server hangs, calls that were given up must not accumulate in this process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_given_up_while_the_server_hangs_has_a_bound() {
    if !alone("rabbitmq::refused::what_is_given_up_while_the_server_hangs_has_a_bound") {
        return;
    }
    let server = RabbitMqServer::start();
    let mut config = config(server.url());
    config.limits.call_timeout = Duration::from_millis(300);
    let broker = RabbitMqBroker::connect(config).await;
    let broker = match broker {
        Ok(broker) => broker,
        Err(error) => panic!("{error}"),
    };
    let _ = broker.publish(part(JobId::random(), 0)).await;
    server.freeze();
    let before = memory();
    for round in 0..10 {
        let mut callers = JoinSet::new();
        for index in 0..50 {
            let broker = Arc::clone(&broker);
            callers.spawn(async move { broker.publish(photo(50 * round + index)).await });
        }
        for outcome in callers.join_all().await {
            assert!(matches!(outcome, Err(BrokerError::Unavailable(_))), "{outcome:?}");
        }
    }
    let grown = memory().saturating_sub(before);
    server.thaw();
    assert!(grown < 110, "150 MB that were given up take {grown} MiB");
}
