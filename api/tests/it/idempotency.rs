//! The same key with the same request gives the same job, at any time and any number of times.

use std::time::Duration;

use common::ids::JobId;
use common::messages::{Idempotency, JobRecord, Timestamp};
use common::store::{Acceptance, Store};
use futures_util::future::join_all;

use crate::harness::{Answer, Server, body};

#[tokio::test]
async fn the_same_request_is_run_once_and_answered_with_the_same_job() {
    let (server, worker) = Server::ready(&[]).await;
    let request = || server.predict(&["dog", "cat"]).header("Idempotency-Key", "order 66");
    let first = Answer::of(request()).await;
    let second = Answer::of(request()).await;
    assert_eq!(first.json(), second.json());
    assert_eq!(first.header("x-prediction-id"), second.header("x-prediction-id"));
    assert_eq!(worker.seen.lock().unwrap().len(), 1);

    let other_key = Answer::of(server.predict(&["dog", "cat"]).header("Idempotency-Key", "order 67")).await;
    assert_ne!(first.header("x-prediction-id"), other_key.header("x-prediction-id"));
}

#[tokio::test]
async fn a_running_job_is_waited_for_and_not_run_again() {
    let (server, worker) = Server::ready(&[]).await;
    let request = || server.predict(&["slow"]).header("Idempotency-Key", "k");
    let first = Answer::of(request().header("Prefer", "respond-async")).await;
    assert_eq!(first.status, 202);
    let second = tokio::spawn(Answer::of(request()));
    worker.gate.add_permits(1);
    let second = second.await.unwrap();
    assert_eq!(second.status, 200);
    assert_eq!(first.header("x-prediction-id"), second.header("x-prediction-id"));
    assert_eq!(worker.seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn the_key_with_another_request_is_refused() {
    let (server, _worker) = Server::ready(&[]).await;
    let path = "/classifier/predictions";
    let post =
        |path: &str, images: &[&str]| server.post(path).json(&body(images)).header("Idempotency-Key", "k");
    assert_eq!(Answer::of(post(path, &["dog"])).await.status, 200);
    for request in
        [post(path, &["cat"]), post("/classifier/predictions?top_k=1", &["dog"]), post(path, &["dog", "dog"])]
    {
        Answer::of(request).await.is_problem(422, "idempotency_key_reused", "another request");
    }
    assert_eq!(Answer::of(post(path, &["dog"])).await.status, 200);
}

#[tokio::test]
async fn many_at_once_make_one_job() {
    let (server, worker) = Server::ready(&[]).await;
    let requests = (0..16).map(|_| Answer::of(server.predict(&["dog"]).header("Idempotency-Key", "k")));
    for answer in join_all(requests).await {
        if answer.status == 409 {
            answer.is_problem(409, "idempotency_key_busy", "still being accepted");
            assert_eq!(answer.header("retry-after"), "1");
        } else {
            assert_eq!(answer.status, 200, "{}", answer.text);
        }
    }
    assert_eq!(worker.seen.lock().unwrap().len(), 1);
}

/// Leaves a job as a process does that crashes after storing it and before queueing it.
async fn orphan(server: &Server, age: Duration) -> JobId {
    let request = || server.predict(&["dog"]).header("Idempotency-Key", "orphan");
    let whole = Answer::of(request()).await;
    let job: JobId = whole.header("x-prediction-id").parse().unwrap();
    let record = server.store.job(job).await.unwrap().unwrap().record;
    assert!(server.store.cancel_job(job).await.unwrap());
    let accepted_at = Timestamp(Timestamp::now().0 - u64::try_from(age.as_millis()).unwrap());
    let request = record.idempotency.as_ref().unwrap().request;
    let idempotency = Some(Idempotency { key: "orphan".to_owned(), request });
    let orphan = JobRecord { id: JobId::random(), accepted_at, idempotency, ..record };
    let fleet = server.store.fleet().await.unwrap().revision;
    assert_eq!(server.store.put_job(&orphan, fleet).await.unwrap(), Acceptance::Accepted);
    orphan.id
}

#[tokio::test]
async fn a_job_whose_process_died_before_it_was_queued_is_finished_by_the_next_one() {
    let (server, _worker) = Server::ready(&[]).await;
    let request = || server.predict(&["dog"]).header("Idempotency-Key", "orphan");
    let job = orphan(&server, Duration::from_secs(60)).await;
    let answer = Answer::of(request()).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-prediction-id")), (200, job.to_string().as_str()));
}

#[tokio::test]
async fn a_job_that_is_just_being_queued_is_409() {
    let (server, _worker) = Server::ready(&[]).await;
    orphan(&server, Duration::ZERO).await;
    let request = server.predict(&["dog"]).header("Idempotency-Key", "orphan");
    Answer::of(request).await.is_problem(409, "idempotency_key_busy", "still being accepted");
}
