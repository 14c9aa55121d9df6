//! Clients that share the publishing connection.

use std::sync::Arc;
use std::time::Duration;

use common::broker::Broker;
use common::broker::rabbitmq::RabbitMqBroker;
use common::ids::{ClientName, JobId};
use common::messages::Part;
use testing::RabbitMqServer;
use testing::samples::{images_mut, part};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::config;

/// Returns a part of one image of so many bytes.
fn of(client: &str, index: u32, bytes: usize) -> Part {
    let mut part = part(JobId::random(), index);
    part.client = ClientName::parse(client).ok();
    images_mut(&mut part)[0].bytes = vec![7; bytes].into();
    part
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_with_large_images_does_not_hold_up_the_small_ones_of_another() {
    let server = RabbitMqServer::start();
    let broker = RabbitMqBroker::connect(config(server.url())).await.unwrap();
    let parts: Vec<Part> = (0..40).map(|index| of("large", index, 8 << 20)).collect();
    let begun = Instant::now();
    let mut large = JoinSet::new();
    for part in parts {
        let broker = Arc::clone(&broker);
        large.spawn(async move { broker.publish(part).await });
    }
    // All of them are unconfirmed.
    sleep(Duration::from_millis(200)).await;
    let asked = Instant::now();
    broker.publish(of("small", 0, 1_000)).await.unwrap();
    let small = asked.elapsed();
    for outcome in large.join_all().await {
        outcome.unwrap();
    }
    let all = begun.elapsed();
    assert!(small < all / 6, "320 MiB took {all:?}, the small image of another client {small:?}");
}
