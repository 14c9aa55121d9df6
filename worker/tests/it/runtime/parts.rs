//! The results of parts.

use std::time::Duration;

use bytes::Bytes;
use common::broker::Broker as _;
use common::messages::{JobFailure, JobStatus, PinnedModel};
use common::store::Store as _;

use super::bench::{Bench, FOREVER, named, other_version, parts, png};
use super::engine::{Double, Kind};
use super::faulty_store::{Call, FaultyStore, away};

#[tokio::test]
async fn every_image_gets_the_label_of_its_own_pixels_in_request_order() {
    let bench = Bench::new().await;
    let (engine, _ears) = Double::new();
    let worker = bench.worker(&engine, &["--max-batch-size=3"]);
    let labels: Vec<Vec<u8>> =
        (0..10).map(|part| (0..7).map(|image| (part * 5 + image) % 16).collect()).collect();
    let slices: Vec<&[u8]> = labels.iter().map(Vec::as_slice).collect();
    let job = bench.submit(&parts(&slices)).await;
    assert_eq!(bench.labels(job).await, named(labels.concat()));
    worker.stop().await.unwrap();
    bench.assert_nothing_waits().await;
    assert!(engine.calls().iter().all(|call| call.len() <= 3), "{:?}", engine.calls());
}

#[tokio::test]
async fn one_bad_image_does_not_spoil_its_batch() {
    let bench = Bench::new().await;
    let (engine, _ears) = Double::new();
    // Nothing runs before the four decodable images are together; then a core takes two at a time.
    let arguments = [
        "--decode-threads=1",
        "--inference-threads=1",
        "--max-batch-size=4",
        "--max-queue-delay-microseconds=60000000",
    ];
    let worker = bench.worker(&engine, &arguments);
    let images = vec![
        png(Kind::Normal, 1),
        Bytes::from_static(b"not an image"),
        png(Kind::Fails, 2),
        png(Kind::Normal, 3),
        png(Kind::Panics, 4),
    ];
    let job = bench.submit(&[images]).await;
    let expected = ["label 1", "undecodable_image", "inference_failed", "label 3", "inference_failed"];
    assert_eq!(bench.labels(job).await, expected);
    let sizes: Vec<usize> = engine.calls().iter().map(Vec::len).collect();
    assert_eq!(sizes, [2, 1, 1, 2, 1, 1], "together, then each alone");
    worker.stop().await.unwrap();
    bench.assert_nothing_waits().await;
}

#[tokio::test]
async fn what_nobody_wants_any_more_never_reaches_the_model() {
    let bench = Bench::new().await;
    let expired = bench.submit_for(&bench.model, Duration::ZERO, &parts(&[&[1]])).await;
    let cancelled = bench.submit(&parts(&[&[2]])).await;
    assert!(bench.store.cancel_job(cancelled).await.unwrap());
    let wanted = bench.submit(&parts(&[&[3]])).await;

    let (engine, _ears) = Double::new();
    // One at a time: once the last is done, so are those before it.
    let worker = bench.worker(&engine, &["--prefetch=1"]);
    assert_eq!(bench.labels(wanted).await, named([3]));
    assert_eq!(engine.calls(), [[3]]);
    let JobStatus::Failed { failure, .. } = bench.ended(expired).await else { panic!("it has expired") };
    assert_eq!(failure, JobFailure::DeadlineExceeded);
    worker.stop().await.unwrap();
    bench.assert_nothing_waits().await;
}

#[tokio::test]
async fn a_package_that_is_not_there_fails_its_job_and_no_other() {
    let bench = Bench::new().await;
    let (engine, _ears) = Double::new();
    let worker = bench.worker(&engine, &[]);
    let name = common::ids::ModelName::parse("nowhere").unwrap();
    let missing = PinnedModel { name, ..bench.model.clone() };
    let lost = bench.submit_for(&missing, FOREVER, &parts(&[&[1]])).await;
    let sound = bench.submit(&parts(&[&[2]])).await;
    assert_eq!(bench.labels(sound).await, named([2]));
    let JobStatus::Failed { failure, detail } = bench.ended(lost).await else { panic!("no such package") };
    assert_eq!(failure, JobFailure::ModelUnavailable);
    assert!(detail.contains("nowhere"), "{detail}");
    worker.stop().await.unwrap();
}

// The clock is paused: the waits between deliveries pass at once.
#[tokio::test(start_paused = true)]
async fn a_version_that_no_worker_has_any_more_is_searched_for_and_then_given_up() {
    let bench = Bench::new().await;
    let (engine, _ears) = Double::new();
    let worker = bench.worker(&engine, &[]);
    let job = bench.submit_for(&other_version(&bench.model), FOREVER, &parts(&[&[1]])).await;
    let JobStatus::Failed { failure, detail } = bench.ended(job).await else { panic!("nobody has it") };
    assert_eq!(failure, JobFailure::ModelUnavailable);
    assert!(detail.contains("is version"), "{detail}");
    assert!(engine.calls().is_empty());
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn no_part_is_acknowledged_before_its_result_is_stored() {
    let bench = Bench::new().await;
    let (store, mut calls) =
        FaultyStore::new(&bench, |call| if call == Call::PutPart { away() } else { Ok(()) });
    let (engine, _ears) = Double::new();
    let worker = bench.worker_on(store, &engine, &[]);
    let job = bench.submit(&parts(&[&[1, 2]])).await;
    for _ in 0..2 {
        while calls.recv().await.expect("it tries again") != Call::PutPart {}
    }
    worker.kill().await;
    assert_eq!(bench.broker.depth().await.unwrap().waiting, 1);

    let worker = bench.worker(&engine, &[]);
    assert_eq!(bench.labels(job).await, named([1, 2]));
    worker.stop().await.unwrap();
    bench.assert_nothing_waits().await;
}
