//! Bodies of real clients: nothing in them is dropped silently.

use serde_json::{Value, json};
use testing::samples::images;

use crate::harness::{Answer, Server, body};

/// The first bytes of a PNG, which the fake worker returns as a label.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

async fn form(server: &Server, parts: &[(&str, &str)]) -> Answer {
    let mut form = String::new();
    for (head, content) in parts {
        form += &format!("--XX\r\n{head}\r\n\r\n{content}\r\n");
    }
    form += "--XX--\r\n";
    let kind = "multipart/form-data; boundary=XX";
    Answer::of(server.post("/classifier/predictions").header("Content-Type", kind).body(form)).await
}

#[tokio::test]
async fn every_part_of_a_form_is_an_image_or_an_error_in_its_place() {
    let (server, _worker) = Server::ready(&[]).await;
    let answer = form(
        &server,
        &[
            (r#"Content-Disposition: form-data; name="images"; filename="a.png""#, "dog"),
            (r#"Content-Disposition: form-data; name="images"; filename*=UTF-8''na%C3%AFve%20%E2%82%AC.png"#, "cat"),
            (r#"Content-Disposition: form-data; name="note""#, "hello"),
            (r#"content-disposition: form-data; name="images"; filename="sp \"q\".png""#, "cow"),
            ("Content-Disposition: form-data; name=\"images\"\r\nContent-Type: image/png", "pig"),
            (r#"Content-Disposition: form-data; name="empty"; filename="empty.png""#, ""),
        ],
    )
    .await;
    let results = answer.json()["response"]["results"].clone();
    let told: Vec<Value> = results
        .as_array()
        .unwrap()
        .iter()
        .map(|result| {
            let what = if result["label"].is_null() { &result["error"]["code"] } else { &result["label"] };
            json!([result["image_id"], what, result["filename"]])
        })
        .collect();
    assert_eq!(
        told,
        [
            json!([0, "dog", "a.png"]),
            json!([1, "cat", "naïve €.png"]),
            json!([2, "not_an_image", null]),
            json!([3, "cow", "sp \"q\".png"]),
            json!([4, "pig", null]),
            json!([5, "undecodable_image", "empty.png"]),
        ],
        "{}",
        answer.text
    );
    assert!(results[2]["error"]["detail"].as_str().unwrap().contains("`note`"), "{results}");
    let path = format!("/classifier/predictions/{}", answer.header("x-prediction-id"));
    assert_eq!(Answer::of(server.get(&path)).await.json(), answer.json(), "asked for later, it is the same");
}

#[tokio::test]
async fn the_images_of_a_form_whose_names_are_not_ascii_keep_their_places() {
    let (server, worker) = Server::ready(&[]).await;
    let form = include_bytes!("bodies/filename_star.bin");
    let request = server
        .post("/classifier/predictions")
        .header("Content-Type", "multipart/form-data; boundary=XX")
        .body(form.as_slice());
    let answer = Answer::of(request).await.json();
    let results = answer["response"]["results"].as_array().unwrap();
    let ids: Vec<_> = results.iter().map(|result| result["image_id"].as_i64().unwrap()).collect();
    assert_eq!(ids, [0, 1, 2]);
    let names: Vec<_> = results.iter().map(|result| result["filename"].as_str().unwrap()).collect();
    assert_eq!(names, ["a.png", "猫.png", "c.png"]);
    let seen = worker.seen.lock().unwrap();
    assert!(images(&seen[0]).iter().all(|image| image.bytes.starts_with(PNG)));
    assert_eq!(seen[0].payload.count(), 3);
}

#[tokio::test]
async fn an_answer_to_json_has_no_file_names() {
    let (server, _worker) = Server::ready(&[]).await;
    let answer = Answer::of(server.predict(&["dog"])).await;
    assert!(!answer.text.contains("filename"), "{}", answer.text);
}

#[tokio::test]
async fn unknown_query_parameters_are_errors_that_name_the_known_ones() {
    let (server, _worker) = Server::ready(&[]).await;
    let post = |query: &str| server.post(&format!("/classifier/predictions?{query}")).json(&body(&["dog"]));
    Answer::of(post("topk=5")).await.is_problem(
        422,
        "invalid_query",
        "unknown field `topk`, expected `top_k`",
    );
    Answer::of(post("top_k=1&model=pets&x=1")).await.is_problem(422, "invalid_query", "`x`");
    let id = "/classifier/predictions/5f0c1b9e-7d0c-4a53-9f8e-0d6a3f1c2b4d";
    for request in [
        server.get(&format!("{id}?waits=1")),
        server.delete(&format!("{id}?wait=1")),
        server.get("/classifier/models?page=2"),
        server.get("/classifier/dead-letters?id=x"),
        server.delete("/classifier/dead-letters?ids=x"),
        server.put("/classifier/prediction-service/pets?wait=5"),
        server.post("/classifier/prediction-service/rollback?wait=5"),
        server.get("/classifier/prediction-service?x"),
        server.get("/classifier/prediction-service/rollouts/1?x=y"),
    ] {
        Answer::of(request).await.is_problem(422, "invalid_query", "unknown field");
    }
    server.still_answers().await;
}

#[tokio::test]
async fn a_raw_body_of_no_type_is_an_image_if_it_begins_like_one() {
    let (server, worker) = Server::ready(&[]).await;
    let beginnings: [&[u8]; 8] = [
        PNG,
        b"\xff\xd8\xff\xe0",
        b"GIF89a",
        b"BM\0\0",
        b"RIFF\x01\x02\x03\x04WEBP",
        b"II*\0",
        b"MM\0*",
        b"GIF87a",
    ];
    for beginning in beginnings {
        let raw = || server.post("/classifier/predictions").body(beginning);
        let typed = raw().header("Content-Type", "application/octet-stream");
        let form = raw().header("Content-Type", "application/x-www-form-urlencoded");
        for request in [raw(), typed, form] {
            let answer = Answer::of(request).await;
            assert_eq!(answer.status, 200, "{beginning:?}: {}", answer.text);
            assert_eq!(images(&worker.seen.lock().unwrap().pop().unwrap())[0].bytes, beginning);
        }
    }
    let raw = |bytes: &'static str| server.post("/classifier/predictions").body(bytes);
    Answer::of(raw("hello")).await.is_problem(400, "invalid_json", "the body is not JSON");
    let unknown = raw("hello").header("Content-Type", "application/octet-stream");
    Answer::of(unknown).await.is_problem(415, "unsupported_media_type", "does not begin like");
    let json = server.post("/classifier/predictions").body(body(&["dog"]).to_string());
    assert_eq!(Answer::of(json).await.status, 200);
}

#[tokio::test]
async fn a_byte_order_mark_before_json_is_skipped() {
    let (server, _worker) = Server::ready(&[]).await;
    let text = format!("\u{feff}{}", body(&["dog"]));
    let answer = Answer::of(server.post("/classifier/predictions").body(text)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

#[tokio::test]
async fn folders_that_can_be_no_package_are_listed_with_the_reason() {
    let (server, _worker) = Server::ready(&[]).await;
    std::fs::create_dir(server.models.path().join("my model")).unwrap();
    std::fs::create_dir(server.models.path().join(".cache")).unwrap();
    let listed = Answer::of(server.get("/classifier/models")).await.json();
    let entry = |name: &str| {
        listed["response"].as_array().unwrap().iter().find(|entry| entry["name"] == name).cloned()
    };
    let odd = entry("my model").unwrap_or_else(|| panic!("{listed}"));
    assert!(odd["problems"][0].as_str().unwrap().contains("letters, digits"), "{odd}");
    assert_eq!(odd["version"], Value::Null);
    assert_eq!(entry(".cache"), None, "what is hidden is no package to anybody");
}
