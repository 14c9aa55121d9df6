//! Asynchronous jobs: polling, deleting, and full queues.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use common::broker::Broker;
use common::ids::Generation;
use common::messages::Timestamp;
use common::store::Store;
use serde_json::json;
use testing::samples::images_mut;
use tokio::time::sleep;

use crate::harness::{Answer, Server};

#[tokio::test]
async fn an_unfinished_job_is_202_and_can_be_asked_for_until_it_is_done() {
    let (server, worker) = Server::ready(&[]).await;
    let accepted = Answer::of(server.predict(&["slow", "dog"]).header("Prefer", "respond-async")).await;
    assert_eq!(accepted.status, 202);
    assert_eq!(accepted.header("preference-applied"), "respond-async");
    assert_eq!(accepted.header("retry-after"), "1");
    let id = accepted.header("x-prediction-id").to_owned();
    let path = format!("/classifier/predictions/{id}");
    assert_eq!(accepted.header("location"), path);
    let body = accepted.json();
    let status = body["response"]["status"].as_str().unwrap().to_owned();
    assert!(["queued", "processing"].contains(&status.as_str()), "{body}");
    let expected =
        json!({"code": 202, "response": {"prediction_id": id, "status": status, "status_url": path}});
    assert_eq!(body, expected);

    // The worker has begun it by the end of the long poll.
    let still = Answer::of(server.get(&format!("{path}?wait=1"))).await;
    assert_eq!(still.status, 202);
    assert_eq!(still.json()["response"]["status"], "processing");
    assert_eq!(still.header("location"), path);
    assert_eq!(still.header("preference-applied"), "wait=1");

    worker.gate.add_permits(1);
    let done = Answer::of(server.get(&format!("{path}?wait=20"))).await;
    assert_eq!(done.status, 200);
    assert_eq!(done.json()["response"]["results"][1]["label"], "dog");
    for header in ["x-prediction-id", "x-model-version", "x-model-generation", "server-timing"] {
        assert!(!done.header(header).is_empty());
    }
    assert_eq!(Answer::of(server.get(&path)).await.json(), done.json());
}

#[tokio::test]
async fn a_long_poll_ends_when_the_job_does() {
    let (server, worker) = Server::ready(&[]).await;
    let accepted = Answer::of(server.predict(&["slow"]).header("Prefer", "respond-async")).await;
    let path = accepted.header("location").to_owned();
    let begun = Instant::now();
    let poll = tokio::spawn(Answer::of(server.get(&format!("{path}?wait=60"))));
    worker.gate.add_permits(1);
    assert_eq!(poll.await.unwrap().status, 200);
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn the_client_chooses_the_time_to_wait_and_the_server_caps_it() {
    let (server, _worker) = Server::ready(&["--default-wait", "1", "--max-wait", "2"]).await;
    for (prefer, applied) in [("handling=lenient", "wait=1"), ("wait=100", "wait=2"), ("wait=0", "wait=0")] {
        let answer = Answer::of(server.predict(&["slow"]).header("Prefer", prefer)).await;
        assert_eq!((answer.status.as_u16(), answer.header("preference-applied")), (202, applied));
    }
}

#[tokio::test]
async fn a_failed_job_answers_the_same_error_to_whoever_asks() {
    let (server, _worker) = Server::ready(&[]).await;
    for (image, status, code) in
        [("boom", 500, "internal"), ("gone", 503, "model_unavailable"), ("late", 504, "deadline_exceeded")]
    {
        let first = Answer::of(server.predict(&[image])).await;
        let path = format!("/classifier/predictions/{}", first.header("x-prediction-id"));
        let again = Answer::of(server.get(&path)).await;
        assert_eq!(again.is_problem(status, code, "stand-in"), first.is_problem(status, code, "stand-in"));
    }
}

/// All others are kept for their full retention: they may be fetched later, or changed by a replay.
#[tokio::test]
async fn an_answer_that_was_given_is_kept_for_a_shorter_time() {
    let (server, worker) = Server::ready(&["--answered-retention", "0.001"]).await;
    let path = |answer: &Answer| format!("/classifier/predictions/{}", answer.header("x-prediction-id"));
    let keyed = Answer::of(server.predict(&["dog"]).header("Idempotency-Key", "k")).await;
    let partly = Answer::of(server.predict(&["dog", "bad"])).await;
    let failed = Answer::of(server.predict(&["boom"])).await;
    let polled = Answer::of(server.predict(&["slow"]).header("Prefer", "respond-async")).await;
    worker.gate.add_permits(1);
    let given = Answer::of(server.predict(&["dog", "cat"])).await;
    assert_eq!([&keyed, &partly, &polled, &given].map(|answer| answer.status.as_u16()), [200, 200, 202, 200]);

    let begin = Instant::now();
    while Answer::of(server.get(&path(&given))).await.status != 404 {
        assert!(begin.elapsed() < Duration::from_secs(30), "it is still there");
        sleep(Duration::from_millis(20)).await;
    }
    // Those before it were marked before it, if at all.
    for (kept, status) in [(keyed, 200), (partly, 200), (failed, 500), (polled, 200)] {
        assert_eq!(Answer::of(server.get(&format!("{}?wait=20", path(&kept)))).await.status, status);
    }
}

#[tokio::test]
async fn a_job_that_no_worker_takes_ends_at_its_deadline() {
    let server = Server::bare(&["--job-deadline", "0.3"]).await;
    let worker = server.add_worker("w1").await;
    server.swap("pets").await;
    drop(worker);
    let answer = Answer::of(server.predict(&["dog"]).header("Prefer", "wait=20")).await;
    answer.is_problem(504, "deadline_exceeded", "deadline");
}

#[tokio::test]
async fn a_deleted_job_is_not_run_and_not_known_any_more() {
    let (server, worker) = Server::ready(&[]).await;
    drop(worker);
    let accepted = Answer::of(server.predict(&["dog"]).header("Prefer", "respond-async")).await;
    let path = accepted.header("location").to_owned();
    let deleted = Answer::of(server.delete(&path)).await;
    assert_eq!((deleted.status.as_u16(), deleted.text.as_str()), (204, ""));
    Answer::of(server.get(&path)).await.is_problem(404, "unknown_prediction", "deleted");
    Answer::of(server.delete(&path)).await.is_problem(404, "unknown_prediction", "deleted");

    let worker = server.add_worker("w2").await;
    server.still_answers().await;
    assert_eq!(worker.seen.lock().unwrap().len(), 1, "only what came after it was run");
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_its_job_running() {
    let (server, worker) = Server::ready(&[]).await;
    let request = server.predict(&["slow"]).timeout(Duration::from_millis(300));
    assert!(request.send().await.unwrap_err().is_timeout());
    worker.gate.add_permits(1);
    let job = worker.seen.lock().unwrap()[0].id.job;
    let answer = Answer::of(server.get(&format!("/classifier/predictions/{job}?wait=20"))).await;
    assert_eq!(answer.json()["response"]["results"][0]["label"], "slow");
}

#[tokio::test]
async fn a_full_queue_is_429_with_a_time_and_drops_nothing_that_was_accepted() {
    let server = Server::with_queue(&["--part-max-images", "1"], 4).await;
    let worker = server.add_worker("w1").await;
    server.swap("pets").await;
    // A stopped worker: its reports stay for a while, and with them its rate of half a part per second.
    drop(worker);
    let mut accepted = Vec::new();
    for _ in 0..4 {
        let answer = Answer::of(server.predict(&["dog"]).header("Prefer", "respond-async")).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        accepted.push(answer.header("location").to_owned());
    }
    for images in [&["dog"][..], &["dog", "cat"]] {
        let refused = Answer::of(server.predict(images).header("Idempotency-Key", "k")).await;
        refused.is_problem(429, "queue_full", "queue is full");
        assert_eq!(refused.header("retry-after"), "8", "four parts at half a part a second");
    }

    let worker = server.add_worker("w2").await;
    for path in accepted {
        assert_eq!(Answer::of(server.get(&format!("{path}?wait=20"))).await.status, 200);
    }
    // The half-way refused job was cancelled, and its key is free.
    let again = server.predict(&["cat"]).header("Idempotency-Key", "k");
    assert_eq!(Answer::of(again).await.status, 200);
    assert_eq!(worker.seen.lock().unwrap().len(), 5);
}

#[tokio::test]
async fn a_dead_letter_can_be_listed_replayed_and_dropped() {
    let (server, worker) = Server::ready(&[]).await;
    // A part that failed and became a dead letter, as a worker does it.
    let failed = Answer::of(server.predict(&["dog", "boom"])).await;
    let path = format!("/classifier/predictions/{}", failed.header("x-prediction-id"));
    let part = worker.seen.lock().unwrap()[0].clone();
    let mut mended = part.clone();
    images_mut(&mut mended)[1].bytes = "cat".into();
    server.broker.dead_letter(mended, "a worker died of it 3 times").await.unwrap();

    let listed = Answer::of(server.get("/classifier/dead-letters")).await.json();
    let letter = &listed["response"][0];
    assert_eq!(letter["id"], part.id.to_string());
    assert_eq!(letter["positions"], json!([0, 1]));
    assert_eq!(letter["reason"], "a worker died of it 3 times");

    let replay = format!("/classifier/dead-letters/replay?id={}", part.id);
    let replayed = Answer::of(server.post(&replay)).await.json();
    assert_eq!(replayed["response"], json!({"replayed": 1, "dropped": 0, "forgotten": 0, "unreadable": 0}));
    let mended = Answer::of(server.get(&format!("{path}?wait=20"))).await;
    assert_eq!(mended.json()["response"]["results"][1]["label"], "cat", "{}", mended.text);
    Answer::of(server.post(&replay)).await.is_problem(404, "unknown_dead_letter", &part.id.to_string());

    // A letter whose job is forgotten stays until an operator drops it.
    server.broker.dead_letter(part.clone(), "again").await.unwrap();
    server.store.cancel_job(part.id.job).await.unwrap();
    let replayed = Answer::of(server.post("/classifier/dead-letters/replay")).await.json();
    assert_eq!(replayed["response"], json!({"replayed": 0, "dropped": 0, "forgotten": 1, "unreadable": 0}));
    let dropped = Answer::of(server.delete("/classifier/dead-letters")).await.json();
    assert_eq!(dropped["response"]["dropped"], 1);
    assert_eq!(Answer::of(server.get("/classifier/dead-letters")).await.json()["response"], json!([]));
}

#[tokio::test]
async fn parts_say_what_a_worker_needs_to_know() {
    let (server, worker) = Server::ready(&["--job-deadline", "100"]).await;
    let before = Timestamp::now();
    let request = server.post("/classifier/predictions?top_k=3").json(&crate::harness::body(&["dog"]));
    assert_eq!(Answer::of(request).await.status, 200);
    let part = worker.seen.lock().unwrap()[0].clone();
    let apart = part.accepted_at.since(before).max(before.since(part.accepted_at));
    assert!(apart < Duration::from_secs(60), "{apart:?} lie between acceptance and now");
    assert_eq!(part.deadline.since(part.accepted_at), Duration::from_secs(100));
    assert_eq!((part.top_k, part.model.generation), (NonZeroU32::new(3), Generation(1)));
}
