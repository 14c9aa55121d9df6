//! A cluster of three RabbitMQ nodes, of which the queue's leader crashes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use testing::RabbitMqCluster;
use tokio::task::block_in_place;

use super::client::{Client, images};
use super::programs::{Fleet, Start, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn predictions_go_on_without_the_node_that_leads_the_queue() {
    let mut fleet = Fleet::new();
    let mut cluster = block_in_place(RabbitMqCluster::start);
    let port = |node: usize| {
        let url = cluster.url(node);
        url.rsplit_once(':').unwrap().1.split('/').next().unwrap().parse::<u16>().unwrap()
    };
    let other = port(1);
    // The queue's leader is where it was declared, on the first node; programs connect to the second.
    let ways = fleet.ways();
    ways.rabbitmq.lead_to(port(0));
    let start = Start { ways: Some(&ways), ..Start::default() };
    let api = fleet.api(start);
    let _worker = fleet.worker(start);
    let client = Client::new([api.url()]);
    client.workers_are_ready(1).await;
    assert_eq!(client.swap(0, "blue").await.unwrap().status, StatusCode::OK);
    ways.rabbitmq.lead_to(other);
    ways.rabbitmq.reset();
    let batch = &images()[..1];
    let answered = async || {
        eventually("predictions are answered", async || {
            let answer = client.predict(batch, &[("prefer", "wait=10")]).await.ok()?;
            answer.fault(batch).is_none().then_some(())
        })
        .await;
    };
    answered().await;

    block_in_place(|| cluster.kill(0));
    let mut told = BTreeMap::<u16, usize>::new();
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until {
        let answer = client.predict(batch, &[("prefer", "wait=10")]).await.unwrap();
        *told.entry(answer.status.as_u16()).or_default() += 1;
    }
    assert!(!told.contains_key(&429), "an empty queue is called full: {told:?}");
    assert!(told.get(&200).is_some_and(|count| *count > 10), "{told:?}\n{}", fleet.logs());
    answered().await;
}
