//! Clients are isolated: keys have names, and a client's predictions belong to it alone.

use common::broker::Broker as _;
use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::harness::{Answer, KEY, Server, body};
use crate::worker::TestWorker;

/// `mobile` is changing its key; `test-key` has no name.
const KEYS: &str = "mobile:old-key, mobile:new-key, batch:batch-key, test-key, :with:colon";

/// A server for several clients, with a worker and the model `pets`.
async fn server(admins: &str, words: &[&str]) -> (Server, TestWorker) {
    let server = Server::changed(words, |parts| {
        parts.config.api_keys = KEYS.parse().unwrap();
        parts.config.admin_api_keys = admins.parse().unwrap();
    })
    .await;
    let worker = server.add_worker("w1").await;
    let key = if admins.is_empty() { KEY } else { "root" };
    let swap = with(&server, key, Method::PUT, "/classifier/prediction-service/pets");
    assert_eq!(Answer::of(swap).await.status, 200);
    (server, worker)
}

fn with(server: &Server, key: &str, method: Method, path: &str) -> RequestBuilder {
    server.client.request(method, format!("http://{}{path}", server.address)).header("X-API-Key", key)
}

fn predict(server: &Server, key: &str, images: &[&str]) -> RequestBuilder {
    with(server, key, Method::POST, "/classifier/predictions").json(&body(images))
}

#[tokio::test]
async fn a_prediction_is_known_to_the_client_that_made_it_alone() {
    let (server, _worker) = server("", &[]).await;
    let made = Answer::of(predict(&server, "old-key", &["dog"])).await;
    let path = format!("/classifier/predictions/{}", made.header("x-prediction-id"));
    for other in ["batch-key", KEY, "with:colon"] {
        for method in [Method::GET, Method::DELETE] {
            let answer = Answer::of(with(&server, other, method, &path)).await;
            answer.is_problem(404, "unknown_prediction", "not known");
        }
        let waiting = format!("{path}?wait=20");
        Answer::of(with(&server, other, Method::GET, &waiting)).await.is_problem(
            404,
            "unknown_prediction",
            "",
        );
    }
    // Two keys of one name are one client, while its key is changed.
    assert_eq!(Answer::of(with(&server, "new-key", Method::GET, &path)).await.json(), made.json());
    assert_eq!(Answer::of(with(&server, "new-key", Method::DELETE, &path)).await.status, 204);

    let nameless = Answer::of(predict(&server, KEY, &["dog"])).await;
    let path = format!("/classifier/predictions/{}", nameless.header("x-prediction-id"));
    assert_eq!(Answer::of(with(&server, "with:colon", Method::GET, &path)).await.status, 200);
    Answer::of(with(&server, "old-key", Method::GET, &path)).await.is_problem(404, "unknown_prediction", "");
}

#[tokio::test]
async fn nobody_waits_for_another_clients_prediction() {
    let (server, _worker) = server("", &[]).await;
    let made = Answer::of(predict(&server, "old-key", &["slow"]).header("Prefer", "respond-async")).await;
    let path = format!("{}?wait=60", made.header("location"));
    let other = with(&server, "batch-key", Method::GET, &path).timeout(std::time::Duration::from_secs(20));
    Answer::of(other).await.is_problem(404, "unknown_prediction", "");
}

#[tokio::test]
async fn idempotency_keys_of_two_clients_are_two() {
    let (server, worker) = server("", &[]).await;
    let send = |key, image| predict(&server, key, &[image]).header("Idempotency-Key", "order 1");
    let first = Answer::of(send("old-key", "dog")).await;
    let again = Answer::of(send("new-key", "dog")).await;
    assert_eq!(first.header("x-prediction-id"), again.header("x-prediction-id"));
    for (key, image) in [("batch-key", "cat"), (KEY, "cow")] {
        let other = Answer::of(send(key, image)).await;
        assert_eq!(other.json()["response"]["results"][0]["label"], image, "{}", other.text);
    }
    assert_eq!(worker.seen.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn an_idempotency_key_in_quotes_is_the_same_as_without() {
    let (server, worker) = Server::ready(&[]).await;
    let send = |key: &'static str| server.predict(&["dog"]).header("Idempotency-Key", key);
    let plain = Answer::of(send("a 1")).await;
    let quoted = Answer::of(send("\"a 1\"")).await;
    assert_eq!(plain.header("x-prediction-id"), quoted.header("x-prediction-id"));
    assert_eq!(worker.seen.lock().unwrap().len(), 1);
    Answer::of(send("\"\"")).await.is_problem(422, "invalid_header", "Idempotency-Key");
}

#[tokio::test]
async fn a_key_can_be_sent_as_a_bearer_token() {
    let (server, _worker) = server("", &[]).await;
    let bearer = |value: &'static str| {
        let url = format!("http://{}/classifier/models", server.address);
        server.client.get(url).header("Authorization", value)
    };
    assert_eq!(Answer::of(bearer("Bearer old-key")).await.status, 200);
    assert_eq!(Answer::of(bearer("bearer batch-key")).await.status, 200);
    for wrong in ["Bearer mobile:old-key", "Bearer", "Basic old-key", "old-key"] {
        Answer::of(bearer(wrong)).await.is_problem(401, "wrong_api_key", "wrong api key");
    }
}

#[tokio::test]
async fn where_there_is_an_admin_key_dead_letters_are_listed_by_admins_only() {
    let (server, worker) = server("ops:root", &[]).await;
    assert_eq!(Answer::of(predict(&server, "old-key", &["dog"])).await.status, 200);
    let part = worker.seen.lock().unwrap()[0].clone();
    server.broker.dead_letter(part, "again and again").await.unwrap();
    let list = |key| with(&server, key, Method::GET, "/classifier/dead-letters");
    for key in ["old-key", "batch-key", KEY] {
        Answer::of(list(key)).await.is_problem(403, "admin_key_required", "X_ADMIN_API_KEY");
    }
    let listed = Answer::of(list("root")).await.json();
    assert_eq!(listed["response"][0]["client"], "mobile", "{listed}");
}

#[tokio::test]
async fn without_an_admin_key_each_client_has_its_own_dead_letters() {
    let (server, worker) = server("", &[]).await;
    for key in ["old-key", "batch-key"] {
        assert_eq!(Answer::of(predict(&server, key, &["dog"])).await.status, 200);
    }
    let parts = worker.seen.lock().unwrap().clone();
    for part in &parts {
        server.broker.dead_letter(part.clone(), "again and again").await.unwrap();
    }
    let call = |key, method, path: &str| with(&server, key, method, path);
    let path = "/classifier/dead-letters";
    let listed = Answer::of(call("new-key", Method::GET, path)).await.json();
    assert_eq!(listed["response"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["response"][0]["id"], parts[0].id.to_string());
    let one = format!("{path}?id={}", parts[0].id);
    let other = Answer::of(call("batch-key", Method::DELETE, &one)).await;
    other.is_problem(404, "unknown_dead_letter", "no dead letter");
    let replay = format!("{path}/replay");
    let count = Answer::of(call("batch-key", Method::POST, &replay)).await.json();
    assert_eq!(count["response"]["replayed"], 1, "{count}");
    let count = Answer::of(call("new-key", Method::DELETE, path)).await.json();
    assert_eq!(count["response"]["dropped"], 1, "{count}");
}

#[tokio::test]
async fn clients_ask_for_packages_by_name_that_an_admin_has_let_in() {
    let (server, _worker) = server("root", &[]).await;
    let ask = |key, model: &str| {
        let path = format!("/classifier/predictions?model={model}");
        with(&server, key, Method::POST, &path).json(&body(&["dog"]))
    };
    let refused = |answer: Answer| answer.is_problem(403, "model_not_allowed", "API_CLIENT_MODELS");
    assert_eq!(Answer::of(ask("old-key", "pets")).await.status, 200);
    refused(Answer::of(ask("old-key", "pets_v2")).await);
    refused(Answer::of(ask("old-key", "nobody")).await);
    assert_eq!(Answer::of(ask("root", "pets_v2")).await.status, 200);

    // A model that was active may be requested, also after another swap. One that was rolled back never was active.
    for model in ["pets_v2", "unservable", "pets"] {
        Answer::of(with(&server, "root", Method::PUT, &format!("/classifier/prediction-service/{model}")))
            .await;
    }
    assert_eq!(Answer::of(ask("old-key", "pets_v2")).await.status, 200);
    refused(Answer::of(ask("old-key", "unservable")).await);
    // Other bytes under its name are another version.
    std::fs::write(server.models.path().join("pets_v2/pets_v2.hdf5"), "other bytes").unwrap();
    refused(Answer::of(ask("old-key", "pets_v2")).await);
    assert_eq!(Answer::of(ask("root", "pets_v2")).await.status, 200);
}

#[tokio::test]
async fn a_setting_lets_packages_in_by_name_or_all() {
    for (words, lets_in) in [("pets_v2, nobody", "pets_v2"), ("all", "pets_v2"), ("all", "pets")] {
        let (server, _worker) = server("root", &["--client-models", words]).await;
        let path = format!("/classifier/predictions?model={lets_in}");
        let answer = Answer::of(with(&server, "old-key", Method::POST, &path).json(&body(&["dog"]))).await;
        assert_eq!(answer.json()["response"]["model"], json!(lets_in), "{}", answer.text);
    }
}
