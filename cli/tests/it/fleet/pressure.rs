//! More work than the fleet can do.

use std::time::{Duration, Instant};

use reqwest::StatusCode;

use super::client::{Client, images};
use super::programs::{Fleet, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_with_the_time_it_takes_to_drain_and_loses_nothing() {
    let mut fleet = Fleet::new();
    let bound = [("QUEUE_MAX_PARTS", "60")];
    let api = fleet.api(&bound);
    let client = Client::new([api.url()]);
    let _worker = fleet.fragile_worker(&[bound[0], ("FRAGILE_IMAGE_DELAY_MS", "50")]);
    client.workers_are_ready(1).await;
    assert_eq!(client.swap(0, "blue").await.unwrap().status, StatusCode::OK);

    // Twice as fast as it drains, until it is full and the drain rate has been measured for a while.
    let batch = &images()[..1];
    let (mut accepted, mut refused) = (Vec::new(), Vec::new());
    let until = Instant::now() + Duration::from_secs(12);
    while Instant::now() < until || refused.is_empty() {
        let answer = client.predict(batch, &[("prefer", "respond-async")]).await.unwrap();
        match answer.status {
            StatusCode::ACCEPTED => accepted.push(answer.header("x-prediction-id").to_owned()),
            StatusCode::TOO_MANY_REQUESTS => refused.push(answer),
            _ => panic!("{} {}", answer.status, answer.body),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let last = refused.last().unwrap();
    assert_eq!(last.body["code"], "queue_full", "{}", last.body);
    let promised: f64 = last.header("retry-after").parse().unwrap();

    let began = Instant::now();
    for id in &accepted {
        let answer = eventually("the accepted prediction is answered", async || {
            client.poll(0, id, "30").await.filter(|answer| answer.status != StatusCode::ACCEPTED)
        })
        .await;
        assert_eq!(answer.fault(batch), None);
    }
    let drained = began.elapsed().as_secs_f64();
    assert!(promised / drained < 2.5 && drained / promised < 2.5, "promised {promised} s, took {drained} s");

    // At full speed again: as fast as an idle service.
    let began = Instant::now();
    let answer = client.predict(batch, &[]).await.unwrap();
    assert_eq!(answer.fault(batch), None);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}
