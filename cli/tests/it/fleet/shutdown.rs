//! `SIGTERM` under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::StatusCode;

use super::client::{Client, images};
use super::programs::{Fleet, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_asked_to_leave_finishes_what_it_has() {
    let mut fleet = Fleet::new();
    let api = fleet.api(&[]);
    let client = Client::new([api.url()]);
    let mut workers = [fleet.worker(&[]), fleet.worker(&[])];
    client.workers_are_ready(2).await;
    assert_eq!(client.swap(0, "blue").await.unwrap().status, StatusCode::OK);

    let over = Arc::new(AtomicBool::new(false));
    let asking: Vec<_> = (0..4)
        .map(|_| {
            let (client, over) = (client.clone(), over.clone());
            tokio::spawn(async move {
                let batch = images();
                let mut answered = 0;
                while !over.load(Ordering::SeqCst) {
                    assert_eq!(client.predict(&batch, &[]).await.unwrap().fault(&batch), None);
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let began = Instant::now();
    tokio::task::block_in_place(|| workers[0].stop());
    assert!(began.elapsed() < Duration::from_secs(30), "left after {:?}", began.elapsed());
    tokio::time::sleep(Duration::from_millis(500)).await;
    over.store(true, Ordering::SeqCst);
    for client in asking {
        assert!(client.await.unwrap() > 0);
    }
    client.workers_are_ready(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_process_that_is_asked_to_leave_answers_what_is_open() {
    let mut fleet = Fleet::new();
    let mut api = fleet.api(&[]);
    let client = Client::new([api.url()]);
    let _worker = fleet.fragile_worker(&[("FRAGILE_IMAGE_DELAY_MS", "100")]);
    client.workers_are_ready(1).await;
    assert_eq!(client.swap(0, "blue").await.unwrap().status, StatusCode::OK);

    let asking: Vec<_> = (0..6)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                let batch = images();
                client.predict(&batch, &[]).await.unwrap().fault(&batch)
            })
        })
        .collect();
    // All requests were received: each job is queued or in progress.
    eventually("all requests are in", async || {
        let metrics = client.metrics().await;
        let open = metrics.lines().find(|line| line.starts_with("classifier_api_jobs_total{"))?;
        (open.rsplit(' ').next()?.parse::<f64>().ok()? >= 6.0).then_some(())
    })
    .await;
    let began = Instant::now();
    tokio::task::block_in_place(|| api.process.stop());
    assert!(began.elapsed() < Duration::from_secs(30), "left after {:?}", began.elapsed());
    for client in asking {
        assert_eq!(client.await.unwrap(), None);
    }
}
