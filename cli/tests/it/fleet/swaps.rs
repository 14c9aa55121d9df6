//! Swaps of a fleet whose workers fail, are late or freeze, and whose coordinator crashes.

use std::fs;

use reqwest::StatusCode;
use serde_json::Value;

use super::client::{Answer, Client, images};
use super::programs::{Api, Fleet, eventually};

/// A worker that takes this long to load any model.
const SLOW_TO_LOAD: &[(&str, &str)] = &[("FRAGILE_LOAD_DELAY_MS", "1500")];

async fn swapped(client: &Client, model: &str) -> u64 {
    let answer = client.swap(0, model).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.body["response"], format!("Changed model to {model}"));
    client.fleet().await.unwrap()["generation"].as_u64().unwrap()
}

async fn right(client: &Client) -> Answer {
    let batch = images();
    let answer = client.predict(&batch, &[]).await.unwrap();
    assert_eq!(answer.fault(&batch), None);
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_that_one_worker_cannot_load_is_rolled_back_and_no_request_notices() {
    let mut fleet = Fleet::new();
    let other = tempfile::tempdir().unwrap();
    let copied = std::process::Command::new("cp").arg("-r").arg(fleet.models()).arg(other.path()).status();
    assert!(copied.unwrap().success());
    let broken = other.path().join("models");
    fs::remove_file(broken.join("green/green.hdf5")).unwrap();

    let api = fleet.api(&[]);
    let client = Client::new([api.url()]);
    let _sound = fleet.worker(&[]);
    let _broken = fleet.worker(&[("MODELS_DIR", broken.to_str().unwrap()), ("HOSTNAME", "broken")]);
    let workers = client.workers_are_ready(2).await;
    let broken_id =
        workers.iter().find_map(|w| w["id"].as_str().filter(|id| id.starts_with("broken"))).unwrap();
    let before = swapped(&client, "blue").await;

    let asking = tokio::spawn({
        let client = client.clone();
        async move {
            for _ in 0..20 {
                assert_eq!(right(&client).await.body["response"]["model"], "blue");
            }
        }
    });
    let answer = client.swap(0, "green").await.unwrap();
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(detail.contains(broken_id) && detail.contains("green.hdf5"), "{detail}");
    asking.await.unwrap();
    assert_eq!(right(&client).await.generation(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_come_late_or_slept_through_a_swap_serve_the_new_model() {
    let mut fleet = Fleet::new();
    let api = fleet.api(&[]);
    let client = Client::new([api.url()]);
    let mut first = fleet.worker(&[]);
    let sleeper = fleet.worker(&[]);
    client.workers_are_ready(2).await;
    swapped(&client, "blue").await;

    sleeper.freeze();
    let generation = swapped(&client, "green").await;
    let _late = fleet.worker(&[]);
    client.workers_are_ready(2).await;
    // Now only the late and the frozen worker have not reported; then only the frozen one.
    first.kill();
    sleeper.thaw();
    for _ in 0..20 {
        let answer = right(&client).await;
        assert_eq!(answer.body["response"]["model"], "green");
        assert_eq!(answer.generation(), generation);
    }
    let workers = client.workers_are_ready(2).await;
    assert!(workers.iter().all(|worker| worker["generation"] == generation), "{workers:?}");
}

/// The fleet seen through the second API process, while the first one is the coordinator.
async fn rollout_is(client: &Client, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
    eventually(what, async || client.fleet().await.filter(&condition)).await
}

fn phase(fleet: &Value) -> &str {
    fleet["rollout"]["phase"].as_str().unwrap_or("none")
}

/// Two API processes, a fast worker and a slow one, with `blue` active.
async fn fleet_of_two_apis() -> (Fleet, Api, Api, Vec<testing::Process>, Client) {
    let mut fleet = Fleet::new();
    let (coordinator, other) = (fleet.api(&[]), fleet.api(&[]));
    let client = Client::new([other.url()]);
    let workers = vec![fleet.worker(&[]), fleet.fragile_worker(SLOW_TO_LOAD)];
    client.workers_are_ready(2).await;
    swapped(&client, "blue").await;
    (fleet, coordinator, other, workers, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_whose_coordinator_dies_while_preparing_is_rolled_back() {
    let (_fleet, mut coordinator, _other, _workers, client) = fleet_of_two_apis().await;
    let swap = tokio::spawn({
        let client = Client::new([coordinator.url()]);
        async move { client.swap(0, "green").await }
    });
    rollout_is(&client, "the rollout is preparing", |fleet| phase(fleet) == "preparing").await;
    coordinator.process.kill();
    assert!(swap.await.unwrap().is_err(), "the coordinator answered before it died");

    let ended = rollout_is(&client, "the rollout ended", |fleet| phase(fleet) != "preparing").await;
    assert_eq!(ended["model"], "blue", "{ended}");
    assert_eq!(right(&client).await.body["response"]["model"], "blue");
    swapped(&client, "green").await;
    assert_eq!(right(&client).await.body["response"]["model"], "green");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_whose_coordinator_dies_after_the_commit_is_completed() {
    let (_fleet, mut coordinator, _other, workers, client) = fleet_of_two_apis().await;
    let swap = tokio::spawn({
        let client = Client::new([coordinator.url()]);
        async move { client.swap(0, "green").await }
    });
    // The fast worker freezes once it is prepared: the commit happens, but the worker cannot report that it follows.
    rollout_is(&client, "the quick worker is prepared", |fleet| {
        let workers = fleet["rollout"]["workers"].as_array();
        workers.is_some_and(|workers| workers.iter().any(|worker| worker["state"] == "prepared"))
    })
    .await;
    workers[0].freeze();
    rollout_is(&client, "the rollout is converging", |fleet| phase(fleet) == "converging").await;
    coordinator.process.kill();
    assert!(swap.await.unwrap().is_err(), "the coordinator answered before it died");

    let ended = rollout_is(&client, "the rollout ended", |fleet| phase(fleet) != "converging").await;
    assert_eq!(ended["model"], "green", "{ended}");
    workers[0].thaw();
    for _ in 0..10 {
        assert_eq!(right(&client).await.body["response"]["model"], "green");
    }
    client.workers_are_ready(2).await;
    swapped(&client, "blue").await;
}
