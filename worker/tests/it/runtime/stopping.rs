//! Workers that are stopped.

use worker::run::RunError;

use super::bench::{Bench, named, parts};
use super::engine::Double;

#[tokio::test]
async fn told_to_stop_under_load_it_finishes_what_it_has_and_leaves_the_rest_to_others() {
    let bench = Bench::new().await;
    let (leaving, mut ears) = Double::new();
    leaving.hold();
    let worker = bench.worker(&leaving, &["--prefetch=4"]);
    let labels: Vec<u8> = (0..40).map(|number| number % 16).collect();
    let slices: Vec<&[u8]> = labels.chunks(2).collect();
    let job = bench.submit(&parts(&slices)).await;
    ears.entered.recv().await.unwrap();
    worker.tell_to_stop();
    leaving.release();
    worker.stop().await.unwrap();
    let done_by_leaving: usize = leaving.calls().iter().map(Vec::len).sum();
    assert!((2..40).contains(&done_by_leaving), "{done_by_leaving}");

    let (engine, _ears) = Double::new();
    let worker = bench.worker(&engine, &[]);
    assert_eq!(bench.labels(job).await, named(labels));
    worker.stop().await.unwrap();
    bench.assert_nothing_waits().await;
    let done_by_other: usize = engine.calls().iter().map(Vec::len).sum();
    assert_eq!(done_by_leaving + done_by_other, 40, "nothing is done twice");
}

#[tokio::test]
async fn what_is_not_done_within_the_grace_goes_back_to_the_queue() {
    let bench = Bench::new().await;
    let (stuck, mut ears) = Double::new();
    stuck.hold();
    let worker = bench.worker(&stuck, &["--worker-stop-grace=0.05"]);
    let job = bench.submit(&parts(&[&[1, 2]])).await;
    ears.entered.recv().await.unwrap();
    let ended = worker.stop().await;
    assert!(matches!(ended, Err(RunError::Unfinished { parts: 1, .. })), "{ended:?}");
    stuck.release();

    let (engine, _ears) = Double::new();
    let worker = bench.worker(&engine, &[]);
    assert_eq!(bench.labels(job).await, named([1, 2]));
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn an_idle_worker_leaves_at_once_and_is_forgotten() {
    use common::store::Store as _;

    let bench = Bench::new().await;
    let (engine, _ears) = Double::new();
    let worker = bench.worker(&engine, &[]);
    let job = bench.submit(&parts(&[&[1]])).await;
    bench.ended(job).await;
    assert_eq!(bench.store.workers().await.unwrap().len(), 1);
    worker.stop().await.unwrap();
    assert!(bench.store.workers().await.unwrap().is_empty());
}
