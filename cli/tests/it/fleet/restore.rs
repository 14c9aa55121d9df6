//! A Redis that comes back with an older state, or with none, as after a crash of its host or a failover.

use reqwest::StatusCode;

use super::client::{Client, images};
use super::programs::{Api, Fleet, eventually};

/// Swaps to `model` through every process in turn; then each of them answers from it.
async fn swap(client: &Client, apis: usize, via: usize, model: &str) {
    eventually(&format!("the fleet is swapped to {model}"), async || {
        let answer = client.swap(via, model).await.ok()?;
        (answer.status == StatusCode::OK).then_some(())
    })
    .await;
    let batch = &images()[..2];
    for turn in 0..10 * apis {
        let answer = client.insist(turn, batch, "wait=20").await.unwrap();
        assert_eq!(answer.fault(batch), None);
        assert_eq!(answer.body["response"]["model"], model, "process {}: {:?}", turn % apis, answer.headers);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_comes_back_with_an_older_state_pins_no_older_model() {
    let mut fleet = Fleet::new();
    let apis = [fleet.api(&[]), fleet.api(&[])];
    let client = Client::new(apis.iter().map(Api::url));
    let _workers = [fleet.worker(&[]), fleet.worker(&[])];
    client.workers_are_ready(2).await;

    // With the restored data, the next swap gets the number of the lost one; and so does the next one without data.
    swap(&client, 2, 0, "blue").await;
    let saved = fleet.redis.save();
    swap(&client, 2, 0, "green").await;
    tokio::task::block_in_place(|| fleet.redis.restore(&saved));
    swap(&client, 2, 1, "blue").await;
    swap(&client, 2, 0, "green").await;

    tokio::task::block_in_place(|| fleet.redis.come_back_empty());
    swap(&client, 2, 1, "blue").await;
    swap(&client, 2, 0, "green").await;
    client.workers_are_ready(2).await;
}
