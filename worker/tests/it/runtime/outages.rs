//! Workers that lose the store or the broker, for a moment or for good.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use common::broker::Broker as _;
use common::store::StoreError;
use tokio::time::Instant;

use super::bench::{Bench, FOREVER, named, parts};
use super::engine::Double;
use super::faulty_store::{Call, FaultyStore, away};

/// Waits until so many parts are in the queue.
async fn until_waiting(bench: &Bench, parts: u64) {
    let until = Instant::now() + FOREVER;
    while bench.broker.depth().await.unwrap().waiting != parts {
        assert!(Instant::now() < until, "no part comes back");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Takes the only part out of the queue and drops it, as a crashed worker does, so many times.
async fn deliver(bench: &Bench, times: u32) {
    for _ in 0..times {
        let mut consumer = bench.broker.consume(1).await.unwrap();
        drop(tokio::time::timeout(FOREVER, consumer.next()).await.unwrap().unwrap());
    }
}

// The clock is paused in all of these: waits pass at once.
#[tokio::test(start_paused = true)]
async fn a_worker_that_is_cut_off_from_the_store_gives_its_parts_back_within_seconds() {
    for cut in [Call::BeginPart, Call::PutPart] {
        let bench = Bench::new().await;
        // From its first part on it reaches nothing.
        let is_cut = Arc::new(AtomicUsize::new(0));
        let (store, mut calls) = FaultyStore::new(&bench, move |call| {
            let is_cut = if call == cut {
                is_cut.fetch_add(1, Ordering::AcqRel) + 1
            } else {
                is_cut.load(Ordering::Acquire)
            };
            if is_cut > 0 { away() } else { Ok(()) }
        });
        let (engine, _ears) = Double::new();
        let cut_off = bench.inline_worker(store, &engine);
        let job = bench.submit(&parts(&[&[1], &[2]])).await;
        while calls.recv().await.unwrap() != cut {}
        let begun = Instant::now();
        until_waiting(&bench, 2).await;
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());

        let (engine, _ears) = Double::new();
        let worker = bench.inline_worker(Arc::clone(&bench.store) as _, &engine);
        assert_eq!(bench.labels(job).await, named([1, 2]));
        worker.stop().await.unwrap();
        cut_off.stop().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_refuses_is_not_asked_again_and_the_part_goes_back() {
    let bench = Bench::new().await;
    let (store, mut calls) = FaultyStore::new(&bench, |call| match call {
        Call::PutPart => Err(StoreError::Refused("out of memory".to_owned())),
        Call::BeginPart | Call::BeginTry(_) | Call::EndTry(_) | Call::Fleet => Ok(()),
    });
    let (engine, _ears) = Double::new();
    let worker = bench.inline_worker(store, &engine);
    bench.submit(&parts(&[&[1]])).await;
    let mut seen = Vec::new();
    while seen.iter().filter(|call| **call == Call::PutPart).count() < 2 {
        seen.extend(calls.recv().await.filter(|call| *call != Call::Fleet));
    }
    let again = seen.iter().rposition(|call| *call == Call::BeginPart).unwrap();
    assert_eq!(seen[..2], [Call::BeginPart, Call::PutPart]);
    assert!(again > 1, "delivered again between the two: {seen:?}");
    worker.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_part_that_bounces_for_outages_is_never_given_up_for_it() {
    let bench = Bench::new().await;
    let outages = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&outages);
    // Twenty calls fail, and meanwhile the part's count is not taken back.
    let (store, _calls) = FaultyStore::new(&bench, move |call| match call {
        Call::BeginPart | Call::EndTry(_) if counted.load(Ordering::Acquire) < 20 => {
            if call == Call::BeginPart {
                counted.fetch_add(1, Ordering::AcqRel);
            }
            away()
        }
        Call::BeginPart | Call::EndTry(_) | Call::PutPart | Call::BeginTry(_) | Call::Fleet => Ok(()),
    });
    let (engine, _ears) = Double::new();
    let job = bench.submit(&parts(&[&[1, 2]])).await;
    deliver(&bench, 40).await;
    let worker = bench.inline_worker(store, &engine);
    assert_eq!(bench.labels(job).await, named([1, 2]));
    assert_eq!(bench.broker.depth().await.unwrap().dead_letters, 0);
    assert!(outages.load(Ordering::Acquire) >= 20);
    worker.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_try_that_the_store_did_not_take_back_does_not_count_as_a_crash() {
    let bench = Bench::new().await;
    // Three times the store is out of reach from the image's try until the part is begun again.
    let (outages, is_away) = (Arc::new(AtomicUsize::new(0)), AtomicBool::new(false));
    let counted = Arc::clone(&outages);
    let (store, _calls) = FaultyStore::new(&bench, move |call| {
        match call {
            Call::BeginPart => is_away.store(false, Ordering::Release),
            Call::BeginTry(0) if counted.fetch_add(1, Ordering::AcqRel) < 3 => {
                is_away.store(true, Ordering::Release);
                return Ok(());
            }
            Call::BeginTry(_) | Call::EndTry(_) | Call::PutPart | Call::Fleet => {}
        }
        if is_away.load(Ordering::Acquire) && call != Call::Fleet { away() } else { Ok(()) }
    });
    let (engine, _ears) = Double::new();
    let job = bench.submit(&parts(&[&[1]])).await;
    deliver(&bench, 1).await;
    let worker = bench.inline_worker(store, &engine);
    assert_eq!(bench.labels(job).await, named([1]));
    assert!(outages.load(Ordering::Acquire) > 3);
    assert_eq!(bench.broker.depth().await.unwrap().dead_letters, 0);
    worker.stop().await.unwrap();
}
