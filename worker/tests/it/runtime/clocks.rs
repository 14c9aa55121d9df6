//! A worker whose clock differs by minutes from the store's.

use std::sync::Arc;
use std::time::Duration;

use common::fleet::{FleetState, Phase, RolloutFailure, WorkerReport};
use common::messages::{JobFailure, JobStatus, Timestamp};
use common::rollout::{RolloutTiming, Target, begin};
use common::store::Store;
use uuid::Uuid;

use super::bench::{Bench, FOREVER, named, parts};
use super::engine::Double;
use super::faulty_store::FaultyStore;

const MINUTES: i64 = 10 * 60 * 1000;

#[tokio::test]
async fn a_worker_whose_clock_is_ahead_fails_nobodys_job() {
    let bench = Bench::new().await;
    let store = FaultyStore::with_clock(&bench, -MINUTES);
    let (engine, _ears) = Double::new();
    let job = bench.submit_by(store.now(), &bench.model, FOREVER, &parts(&[&[1, 2], &[3]])).await;
    let worker = bench.worker_on(store, &engine, &[]);
    assert_eq!(bench.labels(job).await, named([1, 2, 3]));
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn a_worker_whose_clock_is_behind_computes_no_expired_part() {
    let bench = Bench::new().await;
    let store = FaultyStore::with_clock(&bench, MINUTES);
    let (engine, _ears) = Double::new();
    let long_ago = Timestamp(store.now().0 - 120_000);
    let job = bench.submit_by(long_ago, &bench.model, FOREVER, &parts(&[&[1]])).await;
    let worker = bench.worker_on(store, &engine, &[]);
    let JobStatus::Failed { failure, .. } = bench.ended(job).await else { panic!("it was too late") };
    assert_eq!(failure, JobFailure::DeadlineExceeded);
    assert!(engine.calls().is_empty());
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn reports_hold_times_of_the_stores_clock_and_the_workers_offset() {
    let bench = Bench::new().await;
    let store = FaultyStore::with_clock(&bench, -MINUTES);
    let (engine, _ears) = Double::new();
    let worker = bench.worker_on(Arc::clone(&store) as _, &engine, &[]);
    let WorkerReport { started_at, reported_at, clock_offset_ms, .. } = loop {
        match bench.store.workers().await.unwrap().pop() {
            Some(report) => break report,
            None => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    let now = store.now();
    for moment in [started_at, reported_at] {
        assert!(now.since(moment) < FOREVER && moment <= now, "{moment:?} at {now:?}");
    }
    assert_eq!(clock_offset_ms, Some(MINUTES));
    worker.stop().await.unwrap();
}

// The clock is paused: the lease that the worker watches expires at once.
#[tokio::test(start_paused = true)]
async fn a_worker_whose_clock_is_behind_ends_a_rollout_that_nobody_leads() {
    let bench = Bench::new().await;
    let store = FaultyStore::with_clock(&bench, MINUTES);
    let (engine, _ears) = Double::new();
    let fleet = store.fleet().await.unwrap();
    let target = Target { name: bench.model.name.clone(), version: bench.model.version.clone() };
    let rollout = begin(&fleet.value, target, Uuid::new_v4(), store.now(), RolloutTiming::default()).unwrap();
    store.replace_fleet(fleet.revision, &rollout, None).await.unwrap();
    let worker = bench.inline_worker(Arc::clone(&store) as _, &engine);
    tokio::time::sleep(RolloutTiming::default().lease * 3).await;
    let FleetState { rollout, .. } = store.fleet().await.unwrap().value;
    assert_eq!(rollout.unwrap().phase, Phase::RolledBack { failure: RolloutFailure::CoordinatorLost });
    worker.stop().await.unwrap();
}
