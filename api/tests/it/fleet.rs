//! Swapping the model of the fleet.

use common::fleet::WorkerState;
use common::store::Store;
use serde_json::json;

use crate::harness::{Answer, Server};

const SERVICE: &str = "/classifier/prediction-service";

#[tokio::test]
async fn a_swap_answers_as_the_replaced_service_did_and_is_in_force_at_once() {
    let server = Server::bare(&[]).await;
    let _worker = server.add_worker("w1").await;
    let answer = Answer::of(server.put(&format!("{SERVICE}/pets"))).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json(), json!({"code": 200, "response": "Changed model to pets"}));
    for model in ["pets_v2", "pets", "pets_v2"] {
        server.swap(model).await;
        assert_eq!(Answer::of(server.predict(&["dog"])).await.json()["response"]["model"], model);
    }
}

#[tokio::test]
async fn a_failed_swap_says_why_and_changes_nothing() {
    let (server, _worker) = Server::ready(&["--prepare-limit", "0.5"]).await;
    for (model, status, code, says) in [
        ("unservable", 422, "unservable_model", "layer `a` is unknown; layer `b` is unknown"),
        ("broken", 503, "rollout_failed", "worker `w1` could not load it: out of memory"),
        ("never", 503, "rollout_failed", "before these workers were ready: w1"),
    ] {
        let answer = Answer::of(server.put(&format!("{SERVICE}/{model}"))).await;
        let problem = answer.is_problem(status, code, says);
        if code == "unservable_model" {
            assert_eq!(problem["problems"], json!(["layer `a` is unknown", "layer `b` is unknown"]));
        }
        let rollout = Answer::of(server.get(answer.header("location"))).await.json();
        assert_eq!(rollout["response"]["phase"], "rolled_back");
        assert!(rollout["response"]["failure"].as_str().unwrap().contains("w1"), "{rollout}");
        assert_eq!(Answer::of(server.predict(&["dog"])).await.json()["response"]["model"], "pets");
    }
}

#[tokio::test]
async fn a_second_rollout_is_409_with_the_first_ones_location() {
    let (server, _worker) = Server::ready(&[]).await;
    server.swap("pets_v2").await;
    let first = Answer::of(server.put(&format!("{SERVICE}/never")).header("Prefer", "respond-async")).await;
    assert_eq!(first.status, 202);
    let location = first.header("location").to_owned();
    assert_eq!(location, format!("{SERVICE}/rollouts/3"));
    let body = first.json();
    assert_eq!(body["response"]["status"], "preparing");
    assert_eq!(body["response"]["status_url"], location);
    assert_eq!(first.header("preference-applied"), "respond-async");

    for request in [server.put(&format!("{SERVICE}/pets")), server.post(&format!("{SERVICE}/rollback"))] {
        let second = Answer::of(request).await;
        second.is_problem(409, "rollout_running", "rollout 3");
        assert_eq!(second.header("location"), location);
    }
    let running = loop {
        let fleet = Answer::of(server.get(SERVICE)).await.json();
        let running = fleet["response"]["rollout"].clone();
        // The rollout waits until the worker has reported that it begins.
        if running["workers"][0]["state"] != "waiting" {
            break running;
        }
    };
    assert_eq!(running["generation"], 3);
    assert_eq!(running["workers"][0], json!({"id": "w1", "state": "loading", "detail": null}));
    server.still_answers().await;
}

#[tokio::test]
async fn without_a_worker_the_choice_is_recorded() {
    let server = Server::bare(&[]).await;
    let answer = Answer::of(server.put(&format!("{SERVICE}/pets"))).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    assert!(answer.json()["response"]["detail"].as_str().unwrap().contains("no worker is online"));
    assert_eq!(answer.header("location"), format!("{SERVICE}/rollouts/1"));
    let _worker = server.add_worker("w1").await;
    server.still_answers().await;
}

#[tokio::test]
async fn a_rollback_brings_the_model_before_back() {
    let (server, _worker) = Server::ready(&[]).await;
    server.swap("pets_v2").await;
    let answer = Answer::of(server.post(&format!("{SERVICE}/rollback"))).await;
    assert_eq!(answer.json(), json!({"code": 200, "response": "Changed model to pets"}));
    assert_eq!(Answer::of(server.predict(&["dog"])).await.json()["response"]["model"], "pets");
}

#[tokio::test]
async fn the_overview_shows_model_workers_and_queue() {
    let (server, worker) = Server::ready(&[]).await;
    let fleet = Answer::of(server.get(SERVICE)).await.json();
    let view = &fleet["response"];
    assert_eq!(
        (&view["model"], &view["generation"], &view["rollout"]),
        (&json!("pets"), &json!(1), &json!(null))
    );
    assert_eq!(view["version"].as_str().unwrap().len(), 64);
    assert_eq!(view["queue"], json!({"waiting": 0, "dead_letters": 0}));
    let shown = &view["workers"][0];
    assert_eq!((shown["id"].as_str(), shown["state"].as_str()), (Some(worker.id.as_str()), Some("ready")));
    assert_eq!((&shown["device"], &shown["images_per_second"]), (&json!("cpu"), &json!(20.0)));
    assert_eq!(server.store.workers().await.unwrap()[0].state, WorkerState::Ready);
}

#[tokio::test]
async fn models_are_listed_with_what_is_wrong_with_them() {
    let (server, _worker) = Server::ready(&[]).await;
    crate::harness::add_package(server.models.path(), "faulty", "{}");
    let models = Answer::of(server.get("/classifier/models")).await.json();
    let named = |name: &str| {
        models["response"].as_array().unwrap().iter().find(|model| model["name"] == name).unwrap().clone()
    };
    let pets = named("pets");
    assert_eq!((&pets["active"], &pets["input_shape"]), (&json!(true), &json!([2, 2, 3])));
    assert_eq!((&pets["classes"], &pets["problems"]), (&json!(["cat", "dog"]), &json!([])));
    assert_eq!(named("pets_v2")["active"], false);
    assert_eq!(named("faulty")["version"], json!(null));
    assert_eq!(named("faulty")["problems"].as_array().unwrap().len(), 4);
}
