//! The real `classifier serve` from end to end, over HTTP and through the other commands.

mod coming_up;
mod commands;
mod file;
mod hostile;
mod packages;
mod saved_model;
pub(crate) mod server;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use self::server::{Call, KEY, Server, demo_images, prediction_body, right_labels};

/// The keys of a JSON object.
fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn the_demo_model_is_swapped_in_and_knows_its_digits() {
    let server = Server::start(&[]).await;
    let swapped = server.call(Call::put("/classifier/prediction-service/digits")).await;
    assert_eq!(swapped.status, 200, "{}", swapped.body);
    assert_eq!(swapped.body, json!({"code": 200, "response": "Changed model to digits"}));

    let answer = server.predict(&demo_images()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(keys(&answer.body), BTreeSet::from(["code", "response"]));
    let response = &answer.body["response"];
    assert_eq!(
        (keys(response), &response["model"]),
        (BTreeSet::from(["model", "results"]), &json!("digits"))
    );
    for (position, result) in response["results"].as_array().unwrap().iter().enumerate() {
        assert_eq!(keys(result), BTreeSet::from(["image_id", "label", "max_score"]));
        assert_eq!(result["image_id"], position);
        assert!((0.0..=1.0).contains(&result["max_score"].as_f64().unwrap()), "{result}");
    }
    assert!(right_labels(&answer) >= 11, "{}", answer.body);
    assert_eq!(answer.header("x-model-version").len(), 64);
    assert!(answer.header("server-timing").contains("inference"));
}

#[tokio::test]
async fn refusals_look_as_clients_of_the_replaced_service_expect() {
    let server = Server::start(&[]).await;
    let body = prediction_body(&demo_images()[..1]);

    let none = server.call(Call::post("/classifier/predictions").body(&body)).await;
    assert_eq!(none.status, 422, "{}", none.body);
    let detail = none.body["detail"].as_str().unwrap();
    assert!(detail.contains("/classifier/prediction-service/"), "{detail} names no call that sets a model");

    for key in [Some("wrong"), Some(""), None] {
        let refused = server.call(Call::post("/classifier/predictions").body(&body).key(key)).await;
        assert_eq!(refused.status, 401, "{}", refused.body);
        assert_eq!(refused.body["detail"], "wrong api key");
        assert!(!refused.header("www-authenticate").is_empty());
    }

    let unknown = server.call(Call::put("/classifier/prediction-service/no_such_model")).await;
    assert_eq!(unknown.status, 404, "{}", unknown.body);
    let detail = unknown.body["detail"].as_str().unwrap();
    assert!(detail.contains("no_such_model/no_such_model.hdf5"), "{detail} names no file");
    assert_eq!(unknown.header("content-type"), "application/problem+json");
}

#[tokio::test]
async fn a_model_named_at_the_start_is_active_when_the_address_is_printed() {
    let server = Server::start(&["--model", "digits_small"]).await;
    let answer = server.predict(&demo_images()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["response"]["model"], "digits_small");
    assert!(right_labels(&answer) >= 11, "{}", answer.body);
}

#[tokio::test]
async fn a_server_that_is_told_to_stop_answers_what_is_open_and_ends_well() {
    let mut server = Server::start(&["--model", "digits"]).await;
    let many: Vec<_> = demo_images().into_iter().cycle().take(600).collect();
    let open = tokio::spawn(server.send(Call::post("/classifier/predictions").body(&prediction_body(&many))));
    server
        .until("images are being classified", |fleet| fleet["workers"][0]["images_total"].as_u64() > Some(0))
        .await;

    let code = server.stop().await;
    let answer = open.await.unwrap().unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["response"]["results"].as_array().unwrap().len(), many.len());
    assert_eq!(code, Some(0));
    assert!(server.send(Call::get("/health/live")).await.is_err(), "it still listens");
}

#[tokio::test]
async fn without_a_key_it_does_not_start_and_says_which_variable_to_set() {
    let output =
        server::command(&["serve", "--listen", "127.0.0.1:0"]).env_remove("X_API_KEY").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("X_API_KEY"), "{said}");
}

#[tokio::test]
async fn a_model_that_cannot_be_served_keeps_it_from_starting() {
    for (name, says) in [("no_such_model", "no_such_model.hdf5"), ("..", "is not valid")] {
        let output = server::command(&["serve", "--listen", "127.0.0.1:0", "--model", name])
            .env("X_API_KEY", KEY)
            .output()
            .unwrap();
        assert_ne!(output.status.code(), Some(0));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(says), "{said}");
    }
}
