//! The behaviour that clients of the replaced service rely on, and new features.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::harness::{Answer, Server, body, encode};

fn keys(value: &Value) -> Vec<&str> {
    let keys: BTreeSet<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.into_iter().collect()
}

#[tokio::test]
async fn an_answer_has_the_keys_of_the_replaced_service_and_no_others() {
    let (server, _worker) = Server::ready(&[]).await;
    let request = json!({"images": [{"image_id": 7, "img_base64": encode("dog")},
        {"image_id": -1, "img_base64": encode("cat")}, {"image_id": 7, "img_base64": encode("dog")}]});
    let answer = Answer::of(server.post("/classifier/predictions").json(&request)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/json");
    let body = answer.json();
    assert_eq!(keys(&body), ["code", "response"]);
    assert_eq!(body["code"], 200);
    assert_eq!(keys(&body["response"]), ["model", "results"]);
    assert_eq!(body["response"]["model"], "pets");
    let results = body["response"]["results"].as_array().unwrap();
    for (result, (id, label)) in results.iter().zip([(7, "dog"), (-1, "cat"), (7, "dog")]) {
        assert_eq!(keys(result), ["image_id", "label", "max_score"]);
        assert_eq!(result["image_id"], id);
        assert_eq!(result["label"], label);
        assert_eq!(result["max_score"].as_f64(), Some(0.75));
    }
    assert_eq!(results.len(), 3);
}

#[tokio::test]
async fn headers_say_who_answered_and_where_the_time_went() {
    let (server, worker) = Server::ready(&[]).await;
    let answer = Answer::of(server.predict(&["dog"]).header("Prefer", "wait=20")).await;
    let part = worker.seen.lock().unwrap()[0].clone();
    assert_eq!(answer.header("x-prediction-id"), part.id.job.to_string());
    assert_eq!(answer.header("x-model-version"), part.model.version.as_str());
    assert_eq!(answer.header("x-model-generation"), "1");
    assert_eq!(answer.header("server-timing"), "queue;dur=1.500, decode;dur=0.250, inference;dur=3.000");
    assert_eq!(answer.header("preference-applied"), "wait=20");
}

#[tokio::test]
async fn top_k_adds_scores_best_first() {
    let (server, _worker) = Server::ready(&[]).await;
    let request = server.post("/classifier/predictions?top_k=2").json(&body(&["dog"]));
    let result = Answer::of(request).await.json()["response"]["results"][0].clone();
    assert_eq!(keys(&result), ["image_id", "label", "max_score", "scores"]);
    let expected = json!([{"label": "dog", "score": 0.75}, {"label": "other", "score": 0.25}]);
    assert_eq!(result["scores"], expected);
}

#[tokio::test]
async fn one_bad_image_does_not_spoil_its_batch_whoever_finds_it() {
    let (server, worker) = Server::ready(&["--part-max-images", "2"]).await;
    let mut request = body(&["dog", "bad", "", "cat", "huge", "dog"]);
    request["images"][3]["img_base64"] = json!("not base64!");
    let answer = Answer::of(server.post("/classifier/predictions").json(&request)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let results = answer.json()["response"]["results"].clone();
    let told = |index: usize| {
        let result = &results[index];
        assert_eq!(result["image_id"], index);
        let expected: &[&str] = if result.get("error").is_some() {
            &["error", "image_id"]
        } else {
            &["image_id", "label", "max_score"]
        };
        assert_eq!(keys(result), expected);
        result["label"].as_str().or(result["error"]["code"].as_str()).unwrap().to_owned()
    };
    assert_eq!(
        (0..6).map(told).collect::<Vec<_>>(),
        ["dog", "undecodable_image", "undecodable_image", "invalid_base64", "image_too_large", "dog"]
    );
    assert_eq!(worker.seen.lock().unwrap().len(), 2, "four images in two parts");

    // Later polls of any process return the same.
    let again =
        Answer::of(server.get(&format!("/classifier/predictions/{}", answer.header("x-prediction-id"))))
            .await;
    assert_eq!(again.json(), answer.json());
    assert_eq!(again.header("server-timing"), answer.header("server-timing"));
}

#[tokio::test]
async fn results_come_in_the_order_of_the_request_over_all_parts() {
    let (server, worker) = Server::ready(&["--part-max-images", "16"]).await;
    let names: Vec<String> = (0..100).map(|n| format!("image {n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let answer = Answer::of(server.predict(&names)).await.json();
    let labels: Vec<&str> = answer["response"]["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["label"].as_str().unwrap())
        .collect();
    assert_eq!(labels, names);
    let seen = worker.seen.lock().unwrap();
    assert_eq!(seen.len(), 7);
    assert!(seen.iter().all(|part| (1..=16).contains(&part.payload.count())));
    assert!(seen.iter().all(|part| part.model == seen[0].model));
}

#[tokio::test]
async fn a_form_with_files_is_a_batch() {
    let (server, _worker) = Server::ready(&[]).await;
    let form = "--XX\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.jpg\"\r\nContent-Type: image/jpeg\r\n\r\ndog\r\n\
        --XX\r\nContent-Disposition: form-data; name=\"f\"; filename=\"b.bin\"\r\n\r\ncat\r\n--XX--\r\n";
    let request = server
        .post("/classifier/predictions")
        .header("Content-Type", "multipart/form-data; boundary=XX")
        .body(form);
    let answer = Answer::of(request).await;
    let results = answer.json()["response"]["results"].clone();
    assert_eq!(
        results,
        json!([{"image_id": 0, "filename": "a.jpg", "max_score": 0.75, "label": "dog"},
            {"image_id": 1, "filename": "b.bin", "max_score": 0.75, "label": "cat"}])
    );
}

#[tokio::test]
async fn a_raw_body_is_one_image() {
    let (server, _worker) = Server::ready(&[]).await;
    let request = server.post("/classifier/predictions").header("Content-Type", "image/png").body("dog");
    let results = Answer::of(request).await.json()["response"]["results"].clone();
    assert_eq!(results, json!([{"image_id": 0, "max_score": 0.75, "label": "dog"}]));
}

#[tokio::test]
async fn json_without_a_content_type_is_taken_as_before() {
    let (server, _worker) = Server::ready(&[]).await;
    let request = server.post("/classifier/predictions").body(body(&["dog"]).to_string());
    assert_eq!(Answer::of(request).await.status, 200);
}

#[tokio::test]
async fn base64_may_have_a_prefix_and_line_breaks() {
    let (server, _worker) = Server::ready(&[]).await;
    let request = json!({"images": [{"image_id": 0, "img_base64": "data:image/jpeg;base64,ZG\r\n9n"}]});
    let answer = Answer::of(server.post("/classifier/predictions").json(&request)).await;
    assert_eq!(answer.json()["response"]["results"][0]["label"], "dog");
}

#[tokio::test]
async fn another_package_can_be_asked_for_by_name() {
    let (server, worker) = Server::ready(&[]).await;
    let request = server.post("/classifier/predictions?model=pets_v2").json(&body(&["dog"]));
    let answer = Answer::of(request).await;
    assert_eq!(answer.json()["response"]["model"], "pets_v2");
    let part = worker.seen.lock().unwrap()[0].clone();
    assert_eq!(part.model.name.as_str(), "pets_v2");
    assert_eq!(answer.header("x-model-version"), part.model.version.as_str());
}

#[tokio::test]
async fn the_active_model_is_the_version_that_was_rolled_out_also_by_name() {
    let (server, worker) = Server::ready(&[]).await;
    let before = Answer::of(server.predict(&["dog"])).await.header("x-model-version").to_owned();
    std::fs::write(server.models.path().join("pets/pets.hdf5"), "other bytes").unwrap();
    for path in ["/classifier/predictions", "/classifier/predictions?model=pets"] {
        let answer = Answer::of(server.post(path).json(&body(&["dog"]))).await;
        assert_eq!(answer.header("x-model-version"), before);
    }
    assert!(worker.seen.lock().unwrap().iter().all(|part| part.model.version.as_str() == before));
    server.swap("pets").await;
    assert_ne!(Answer::of(server.predict(&["dog"])).await.header("x-model-version"), before);
}

#[tokio::test]
async fn request_id_and_trace_travel_to_the_worker_and_back() {
    let (server, worker) = Server::ready(&[]).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = server.predict(&["dog"]).header("X-Request-Id", "req-1").header("traceparent", trace);
    assert_eq!(Answer::of(request).await.header("x-request-id"), "req-1");
    let part = worker.seen.lock().unwrap()[0].clone();
    assert_eq!(part.request_id.as_deref(), Some("req-1"));
    assert!(part.traceparent.unwrap().starts_with("00-0af7651916cd43dd8448eb211c80319c-"));

    let answer = Answer::of(server.predict(&["dog"]).header("X-Request-Id", "a \"b\"")).await;
    assert_ne!(answer.header("x-request-id"), "a \"b\"");
    assert!(!answer.header("x-request-id").is_empty());
}

#[tokio::test]
async fn many_clients_at_once_get_their_own_answers() {
    let (server, _worker) = Server::ready(&[]).await;
    let server = Arc::new(server);
    let clients: Vec<_> = (0..64)
        .map(|n| {
            let server = Arc::clone(&server);
            tokio::spawn(async move {
                let name = format!("image {n}");
                let answer = Answer::of(server.predict(&[&name, &name])).await.json();
                assert_eq!(answer["response"]["results"][1]["label"], name);
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
}
