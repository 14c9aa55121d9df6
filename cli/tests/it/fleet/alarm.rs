//! A broker that accepts nothing for a long time, and the cost for the API meanwhile. Ten minutes each with
//! `STORM=long`.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use testing::Proxy;

use super::client::{Client, images};
use super::programs::{Api, Fleet, Start, eventually};
use super::storm::{is_long, tell};
use super::ways::Ways;

/// Most connections of an API process to RabbitMQ.
const CONNECTIONS: usize = 4;

/// How much memory an API process may gain while it refuses.
const GROWTH: u64 = 24 << 20;

fn duration() -> Duration {
    Duration::from_secs(if is_long() { 600 } else { 20 })
}

/// A working fleet, with an API process behind proxies.
async fn working() -> (Fleet, Ways, Api, testing::Process, Client) {
    let mut fleet = Fleet::new();
    let ways = fleet.ways();
    let api = fleet.api(Start { ways: Some(&ways), ..Start::default() });
    let worker = fleet.worker(Start { ways: Some(&ways), ..Start::default() });
    let client = Client::new([api.url()]);
    client.workers_are_ready(1).await;
    assert_eq!(client.swap(0, "blue").await.unwrap().status, StatusCode::OK);
    works_again(&client).await;
    (fleet, ways, api, worker, client)
}

async fn works_again(client: &Client) {
    let batch = images();
    eventually("predictions are answered", async || {
        let answer = client.predict(&batch, &[("prefer", "wait=10")]).await.ok()?;
        answer.fault(&batch).is_none().then_some(())
    })
    .await;
}

/// The answers to ten requests per second for a while.
struct Refusals {
    count: usize,
    slowest: Duration,
    most_connections: usize,
}

async fn refusals(client: &Client, way: &Proxy, until: Instant) -> Refusals {
    let mut seen = Refusals { count: 0, slowest: Duration::ZERO, most_connections: 0 };
    let mut asking = Vec::new();
    while Instant::now() < until {
        let (client, batch) = (client.clone(), images());
        asking.push(tokio::spawn(async move {
            let began = Instant::now();
            let answer = client.predict(&batch, &[]).await.unwrap();
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);
            assert!(answer.header("retry-after").parse::<u64>().is_ok(), "{:?}", answer.headers);
            began.elapsed()
        }));
        seen.most_connections = seen.most_connections.max(way.open());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for answer in asking {
        seen.slowest = seen.slowest.max(answer.await.unwrap());
        seen.count += 1;
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_of_the_broker_costs_neither_memory_nor_connections_nor_time() {
    let (fleet, ways, api, _worker, client) = working().await;
    tokio::task::block_in_place(|| fleet.rabbitmq.control().raise_memory_alarm());
    // The first publish detects it.
    eventually("the alarm is known", async || {
        let answer = client.predict(&images(), &[]).await.unwrap();
        (answer.status == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
    let before = api.process.memory();
    let seen = refusals(&client, &ways.rabbitmq, Instant::now() + duration()).await;
    let after = api.process.memory();
    tell(&format!(
        "alarm: {} refusals in {:?}, slowest {:?}, at most {} connections of API and worker, memory {} to {} MB",
        seen.count,
        duration(),
        seen.slowest,
        seen.most_connections,
        before >> 20,
        after >> 20
    ));
    let ready = client.get("/health/ready").await.unwrap();
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE, "{}", ready.body);
    assert!(seen.most_connections <= CONNECTIONS, "{} connections", seen.most_connections);
    assert!(after < before + before / 5 + GROWTH, "{before} bytes became {after}");
    assert!(seen.slowest < Duration::from_millis(500), "{:?}", seen.slowest);
    tokio::task::block_in_place(|| fleet.rabbitmq.control().end_memory_alarm());
    works_again(&client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_logins_are_tried_seldom_and_told_once_in_a_while() {
    let (fleet, ways, _api, _worker, client) = working().await;
    let told = || ["classifier-api", "classifier-worker"].map(|program| fleet.log(program).lines().count());
    let (before, tried) = (told(), ways.rabbitmq.accepted());
    tokio::task::block_in_place(|| fleet.rabbitmq.control().change_password("guest", "other"));
    ways.rabbitmq.reset();
    let seen = refusals(&client, &ways.rabbitmq, Instant::now() + duration()).await;
    let lines: Vec<_> = told().iter().zip(before).map(|(after, before)| after - before).collect();
    let tried = ways.rabbitmq.accepted() - tried;
    tell(&format!(
        "refused logins: {} requests in {:?}, {tried} logins of API and worker, lines of API and worker {lines:?}, \
         at most {} connections",
        seen.count,
        duration(),
        seen.most_connections
    ));
    // The pauses grow up to some seconds: ten minutes may take more in all, but not in proportion.
    let (most_lines, most_logins) = if is_long() { (100, 400) } else { (12, 40) };
    assert!(lines.iter().all(|lines| *lines <= most_lines), "{lines:?} lines\n{}", fleet.logs());
    assert!(tried <= most_logins, "{tried} logins");
    tokio::task::block_in_place(|| fleet.rabbitmq.control().change_password("guest", "guest"));
    works_again(&client).await;
}
