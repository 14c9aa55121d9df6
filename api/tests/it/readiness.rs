//! Ready means that a prediction would be accepted and answered now.

use std::time::Duration;

use api::WorkersAt;
use common::ids::ModelName;
use tokio::net::TcpStream;

use crate::faults::Mood;
use crate::harness::{Answer, Server};

async fn ready(server: &Server, query: &str) -> Answer {
    Answer::of(server.client.get(format!("http://{}/health/ready{query}", server.address))).await
}

async fn live(server: &Server) -> u16 {
    let live = server.client.get(format!("http://{}/health/live", server.address));
    Answer::of(live).await.status.as_u16()
}

#[tokio::test]
async fn a_fleet_without_a_model_and_without_workers_is_ready_and_says_so() {
    let server = Server::bare(&[]).await;
    let answer = ready(&server, "").await;
    assert_eq!((answer.status.as_u16(), answer.json()["status"].as_str()), (200, Some("ready")));
    let checks = answer.json()["checks"].clone();
    assert_eq!((&checks["broker"], &checks["store"]), (&"ok".into(), &"ok".into()));
    assert!(checks["model"].as_str().unwrap().starts_with("no model is chosen yet"), "{checks}");
    assert_eq!(checks["workers"], "no worker is online");

    for strict in ["?strict", "?strict=", "?strict=true", "?strict=1"] {
        ready(&server, strict).await.is_problem(503, "not_ready", "workers: no worker is online");
    }
    assert_eq!(ready(&server, "?strict=false").await.status, 200);
    ready(&server, "?strict=perhaps").await.is_problem(422, "invalid_query", "`perhaps`");
    ready(&server, "?stirct").await.is_problem(422, "invalid_query", "stirct");

    let _worker = server.add_worker("w1").await;
    server.swap("pets").await;
    let checks = ready(&server, "?strict").await.json()["checks"].clone();
    assert_eq!(checks, serde_json::json!({"broker": "ok", "store": "ok", "model": "ok", "workers": "ok"}));
}

#[tokio::test]
async fn where_the_workers_are_in_this_process_they_always_count() {
    let server = Server::changed(&[], |parts| parts.workers = WorkersAt::Here).await;
    ready(&server, "").await.is_problem(503, "not_ready", "no worker is online");
    let _worker = server.add_worker("w1").await;
    assert_eq!(ready(&server, "").await.status, 200);
}

#[tokio::test]
async fn a_declared_model_that_is_not_active_yet_is_not_ready_and_predictions_are_503() {
    let declared = |parts: &mut api::Parts| parts.declared = Some(ModelName::parse("pets").unwrap());
    let server = Server::changed(&[], declared).await;
    let _worker = server.add_worker("w1").await;
    ready(&server, "").await.is_problem(503, "not_ready", "model: model `pets` is declared");
    let refused = Answer::of(server.predict(&["dog"])).await;
    refused.is_problem(503, "model_loading", "`pets`");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(live(&server).await, 200);

    server.swap("pets").await;
    assert_eq!(ready(&server, "").await.status, 200);
    server.still_answers().await;
}

#[tokio::test]
async fn a_model_that_was_chosen_and_is_still_loading_is_503_and_told_with_its_age() {
    let server = Server::bare(&[]).await;
    let _worker = server.add_worker("w1").await;
    let first = server.put("/classifier/prediction-service/never").header("Prefer", "respond-async");
    assert_eq!(Answer::of(first).await.status, 202);
    Answer::of(server.predict(&["dog"])).await.is_problem(
        503,
        "model_loading",
        "`never` is loading, for 0 s",
    );
    ready(&server, "").await.is_problem(503, "not_ready", "model: model `never` is loading");
}

#[tokio::test]
async fn each_check_tells_its_true_cause() {
    let (server, _worker) = Server::ready(&[]).await;
    server.broker.is(Mood::Refusing);
    let checks = ready(&server, "").await.is_problem(503, "not_ready", "broker: ")["checks"].clone();
    assert!(checks["broker"].as_str().unwrap().contains("memory alarm"), "{checks}");
    assert_eq!((&checks["store"], &checks["model"]), (&"ok".into(), &"ok".into()));

    server.broker.is(Mood::Up);
    server.store.writes_are(Mood::Refusing);
    let checks = ready(&server, "").await.is_problem(503, "not_ready", "store: ")["checks"].clone();
    assert!(checks["store"].as_str().unwrap().contains("OOM"), "{checks}");

    server.store.is(Mood::Away);
    server.broker.is(Mood::Away);
    let body = ready(&server, "").await.is_problem(503, "not_ready", "switched off");
    for check in ["broker", "store", "model", "workers"] {
        assert!(body["checks"][check].as_str().unwrap().contains("switched off"), "{body}");
    }
    // Still alive: a restart would not fix anything.
    assert_eq!(live(&server).await, 200);
}

#[tokio::test]
async fn servers_that_hang_are_not_waited_for() {
    let (server, _worker) = Server::ready(&[]).await;
    server.broker.is(Mood::Hanging);
    server.store.is(Mood::Hanging);
    let checked = tokio::time::timeout(Duration::from_secs(10), ready(&server, "")).await.unwrap();
    checked.is_problem(503, "not_ready", "no answer in 2 seconds");
}

#[tokio::test]
async fn told_to_stop_it_is_not_ready_and_takes_requests_for_a_while() {
    let (mut server, _worker) = Server::ready(&["--stop-delay", "2"]).await;
    server.stop.cancel();
    ready(&server, "").await.is_problem(503, "not_ready", "this process is stopping");
    server.still_answers().await;
    assert!(TcpStream::connect(server.address).await.is_ok(), "it accepts");
    let served = tokio::time::timeout(Duration::from_secs(20), &mut server.served).await;
    served.unwrap().unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err(), "it does not listen any more");
}
