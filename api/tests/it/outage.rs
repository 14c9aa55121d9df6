//! A broker and a store that are out of reach or refuse, as clients see it.

use std::time::{Duration, Instant};

use crate::faults::Mood;
use crate::harness::{Answer, Server};

#[tokio::test]
async fn a_broker_out_of_reach_is_503_and_leaves_no_job_behind() {
    let (server, _worker) = Server::ready(&[]).await;
    server.broker.is(Mood::Away);
    let answer = Answer::of(server.predict(&["dog"]).header("Idempotency-Key", "k")).await;
    answer.is_problem(503, "broker_unavailable", "broker");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    Answer::of(server.get("/classifier/dead-letters")).await.is_problem(503, "broker_unavailable", "broker");

    server.broker.is(Mood::Up);
    // The key is free again: the refused job was cancelled.
    assert_eq!(Answer::of(server.predict(&["cat"]).header("Idempotency-Key", "k")).await.status, 200);
}

#[tokio::test]
async fn a_store_out_of_reach_is_503() {
    let (server, _worker) = Server::ready(&[]).await;
    server.store.is(Mood::Away);
    for request in [
        server.predict(&["dog"]),
        server.get("/classifier/predictions/5f0c1b9e-7d0c-4a53-9f8e-0d6a3f1c2b4d"),
        server.delete("/classifier/predictions/5f0c1b9e-7d0c-4a53-9f8e-0d6a3f1c2b4d"),
        server.put("/classifier/prediction-service/pets"),
        server.get("/classifier/prediction-service"),
        server.get("/classifier/prediction-service/rollouts/1"),
        server.get("/classifier/models"),
    ] {
        let answer = Answer::of(request).await;
        answer.is_problem(503, "store_unavailable", "store");
        assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    }
    server.store.is(Mood::Up);
    server.still_answers().await;
}

/// Refusals that are certain must come at once.
async fn at_once(request: reqwest::RequestBuilder) -> Answer {
    let begun = Instant::now();
    let answer = Answer::of(request).await;
    // A tenth of a second, and the delay of a busy machine.
    assert!(begun.elapsed() < Duration::from_millis(900), "it took {:?}", begun.elapsed());
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    answer
}

#[tokio::test]
async fn a_broker_that_refuses_is_503_at_once_with_the_cause_and_leaves_nothing_behind() {
    let (server, _worker) = Server::ready(&[]).await;
    server.broker.is(Mood::Refusing);
    let answer = at_once(server.predict(&["dog"]).header("Idempotency-Key", "k")).await;
    answer.is_problem(503, "broker_unavailable", "memory alarm");

    server.broker.is(Mood::Up);
    assert_eq!(Answer::of(server.predict(&["cat"]).header("Idempotency-Key", "k")).await.status, 200);
}

#[tokio::test]
async fn a_refusal_of_the_broker_does_not_wait_for_a_store_that_hangs() {
    let (server, _worker) = Server::ready(&[]).await;
    server.broker.is(Mood::Refusing);
    server.store.cancels_are(Mood::Hanging);
    at_once(server.predict(&["dog"]).header("Idempotency-Key", "k")).await.is_problem(
        503,
        "broker_unavailable",
        "memory alarm",
    );

    // The job is forgotten as soon as the store is in reach.
    server.store.cancels_are(Mood::Up);
    server.broker.is(Mood::Up);
    let until = Instant::now() + Duration::from_secs(20);
    while Answer::of(server.predict(&["cat"]).header("Idempotency-Key", "k")).await.status != 200 {
        assert!(Instant::now() < until, "the refused job is still there");
    }
}

#[tokio::test]
async fn a_store_that_refuses_is_503_at_once_with_the_cause() {
    let (server, _worker) = Server::ready(&[]).await;
    server.store.writes_are(Mood::Refusing);
    at_once(server.predict(&["dog"])).await.is_problem(503, "store_unavailable", "OOM");
    at_once(server.put("/classifier/prediction-service/pets")).await.is_problem(
        503,
        "store_unavailable",
        "OOM",
    );
    server.store.writes_are(Mood::Up);
    server.still_answers().await;
}

#[tokio::test]
async fn times_are_those_of_the_stores_clock() {
    let (server, worker) = Server::ready(&[]).await;
    let hour = Duration::from_secs(3600);
    server.store.set_ahead(hour);
    server.still_answers().await;
    let seen = worker.seen.lock().unwrap().last().cloned().unwrap();
    let begun = common::messages::Timestamp::now();
    assert!(seen.accepted_at > begun.after(hour / 2) && seen.deadline > seen.accepted_at, "{seen:?}");
}
