//! An address of Redis that leads to a replica, as for a moment in every failover.

use std::time::{Duration, Instant};

use reqwest::StatusCode;

use super::client::{Client, images};
use super::programs::{Fleet, Start, eventually};

async fn works_again(client: &Client, fleet: &Fleet) {
    let (batch, began) = (images(), Instant::now());
    eventually("predictions are answered", async || {
        let answer = client.predict(&batch, &[("prefer", "wait=10")]).await.ok()?;
        answer.fault(&batch).is_none().then_some(())
    })
    .await;
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}\n{}", began.elapsed(), fleet.logs());
}

async fn refuses(client: &Client) {
    eventually("predictions are refused", async || {
        let answer = client.predict(&images(), &[]).await.ok()?;
        (answer.status == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
    let ready = client.get("/health/ready").await.unwrap();
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE, "{}", ready.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_that_reached_a_replica_find_the_primary_by_themselves() {
    let mut fleet = Fleet::new();
    let replica = fleet.redis.start_replica();
    let ways = fleet.ways();
    let start = Start { ways: Some(&ways), ..Start::default() };
    let api = fleet.api(start);
    let _worker = fleet.worker(start);
    let client = Client::new([api.url()]);
    client.workers_are_ready(1).await;
    assert_eq!(client.swap(0, "blue").await.unwrap().status, StatusCode::OK);
    works_again(&client, &fleet).await;

    tokio::task::block_in_place(|| fleet.redis.wait_for_copy(&replica));

    // The address leads to the replica, and then to the primary, while every connection stays open.
    ways.redis.lead_to(replica.port());
    ways.redis.reset();
    refuses(&client).await;
    ways.redis.lead_to(fleet.redis.port());
    works_again(&client, &fleet).await;

    // The primary dies, the address leads to the replica, and the replica becomes the primary.
    ways.redis.lead_to(replica.port());
    fleet.redis.kill();
    refuses(&client).await;
    tokio::task::block_in_place(|| replica.lead());
    works_again(&client, &fleet).await;
}
