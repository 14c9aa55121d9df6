//! The table of errors, row by row; after each error the server answers the next request.

use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::connection::Connection;
use crate::harness::{Answer, Server, add_package, body, encode};

#[tokio::test]
async fn every_bad_request_gets_its_row_and_the_next_one_is_answered() {
    let (server, _worker) = Server::ready(&["--max-images", "8", "--max-encoded-image-bytes", "100"]).await;
    add_package(server.models.path(), "faulty", "{}");
    let post = |query: &str| server.post(&format!("/classifier/predictions{query}"));
    let text = |kind: &str, text: &str| post("").header("Content-Type", kind).body(text.to_owned());
    let json = "application/json";
    let unknown = "5f0c1b9e-7d0c-4a53-9f8e-0d6a3f1c2b4d";
    let rows: Vec<(RequestBuilder, u16, &str, &str)> = vec![
        (text(json, "{\"images\": ["), 400, "invalid_json", "the body is not JSON: EOF"),
        (text(json, ""), 400, "invalid_json", "the body is not JSON"),
        (
            text("multipart/form-data; boundary=X", "--X\r\nnonsense"),
            400,
            "invalid_multipart",
            "not a multipart form",
        ),
        (text("multipart/form-data", "x"), 400, "invalid_multipart", "boundary"),
        (server.get(&format!("/classifier/predictions/{unknown}")), 404, "unknown_prediction", unknown),
        (server.get("/classifier/predictions/x"), 404, "unknown_prediction", "`x`"),
        (server.get("/classifier/predictions/%ff"), 404, "unknown_prediction", "not known"),
        (server.delete(&format!("/classifier/predictions/{unknown}")), 404, "unknown_prediction", unknown),
        (post("?model=nobody").json(&body(&["dog"])), 404, "unknown_model", "nobody/nobody.hdf5"),
        (server.put("/classifier/prediction-service/nobody"), 404, "unknown_model", "nobody/nobody.hdf5"),
        (server.put("/classifier/prediction-service/..%2Fetc"), 422, "invalid_model_name", "../etc"),
        (server.put("/classifier/prediction-service/%ff"), 422, "invalid_model_name", ""),
        (
            server.put("/classifier/prediction-service/faulty"),
            422,
            "unservable_model",
            "`img_preproc_type` is missing",
        ),
        (server.get("/classifier/prediction-service/rollouts/99"), 404, "unknown_rollout", "99"),
        (server.get("/classifier/prediction-service/rollouts/x"), 404, "unknown_rollout", "`x`"),
        (server.get("/classifier/nothing"), 404, "unknown_route", "/classifier/nothing"),
        (server.get("/"), 404, "unknown_route", "`GET /`"),
        (server.get("/docs/nothing.js"), 404, "unknown_route", "/docs/nothing.js"),
        (server.request(Method::PATCH, "/classifier/predictions"), 405, "method_not_allowed", "PATCH"),
        (server.delete("/health/live"), 405, "method_not_allowed", "GET"),
        (text("text/plain", "dog"), 415, "unsupported_media_type", "`text/plain`"),
        (
            text("application/x-www-form-urlencoded", "a=b"),
            415,
            "unsupported_media_type",
            "expected application/json",
        ),
        (text(json, "{}").header("Content-Encoding", "gzip"), 415, "unsupported_media_type", "compressed"),
        (text(json, "{}"), 422, "invalid_request", "`images` is missing"),
        (text(json, "[1]"), 422, "invalid_request", "expected an object"),
        (
            text(
                json,
                r#"{"images": [{"image_id": 0, "img_base64": "ZG9n"}, {"image_id": 1, "img_base64": 3}]}"#,
            ),
            422,
            "invalid_request",
            "`images[1].img_base64`: invalid type: integer `3`, expected a string",
        ),
        (post("").json(&json!({"images": []})), 422, "no_images", "no images"),
        (text("multipart/form-data; boundary=X", "--X--\r\n"), 422, "no_images", "no images"),
        (post("?top_k=many").json(&body(&["dog"])), 422, "invalid_query", "top_k"),
        (post("?model=../x").json(&body(&["dog"])), 422, "invalid_model_name", "../x"),
        (post("?model=faulty").json(&body(&["dog"])), 422, "unservable_model", "faulty"),
        (server.get(&format!("/classifier/predictions/{unknown}?wait=-1")), 422, "invalid_query", "wait"),
        (server.predict(&["dog"]).header("Idempotency-Key", ""), 422, "invalid_header", "Idempotency-Key"),
        (
            server.post("/classifier/prediction-service/rollback"),
            422,
            "nothing_to_roll_back_to",
            "no model was active",
        ),
        (server.predict(&["bad"]), 422, "no_image_classified", "the image is no image"),
        (server.predict(&["bad", "bad"]), 422, "no_image_classified", "none of the 2 images"),
        (text("image/png", ""), 422, "no_image_classified", "empty"),
        (server.predict(&["dog"; 9]), 413, "too_many_images", "9 images, expected at most 8"),
        (server.predict(&[&"x".repeat(101)]), 413, "image_too_large", "101 bytes, expected at most 100"),
        (text("image/png", &"x".repeat(101)), 413, "image_too_large", "101 bytes"),
        (server.predict(&["huge"]), 413, "image_too_large", "1000000000 pixels"),
        (server.predict(&["boom"]), 500, "internal", "Internal"),
        (server.predict(&["gone"]), 503, "model_unavailable", "ModelUnavailable"),
        (server.predict(&["late"]), 504, "deadline_exceeded", "DeadlineExceeded"),
        (server.post("/classifier/dead-letters/replay?id=x"), 404, "unknown_dead_letter", "`x`"),
        (
            server.delete(&format!("/classifier/dead-letters?id={unknown}/0")),
            404,
            "unknown_dead_letter",
            unknown,
        ),
    ];
    for (request, status, code, says) in rows {
        Answer::of(request).await.is_problem(status, code, says);
        server.still_answers().await;
    }
}

#[tokio::test]
async fn a_request_of_bad_images_only_is_422_with_its_entries_in_results() {
    let (server, worker) = Server::ready(&[]).await;
    let by_workers = Answer::of(server.predict(&["bad", "huge"])).await;
    let body = by_workers.is_problem(422, "no_image_classified", "`results` says why");
    assert_eq!(
        body["results"][0],
        json!({"image_id": 0, "error": {"code": "undecodable_image", "detail": "the image is no image"}})
    );
    assert_eq!(body["results"][1]["error"]["code"], "image_too_large");
    assert!(!by_workers.header("x-prediction-id").is_empty());

    let runs = worker.seen.lock().unwrap().len();
    let images = json!({"images": [{"image_id": 5, "img_base64": "?"}, {"image_id": 6, "img_base64": ""}]});
    let at_once = Answer::of(server.post("/classifier/predictions").json(&images)).await;
    let body = at_once.is_problem(422, "no_image_classified", "none of the 2 images");
    assert_eq!(body["results"][0]["image_id"], 5);
    assert_eq!(body["results"][0]["error"]["code"], "invalid_base64");
    assert_eq!(body["results"][1]["image_id"], 6);
    assert_eq!(worker.seen.lock().unwrap().len(), runs, "nothing was queued");
}

#[tokio::test]
async fn without_an_active_model_the_answer_tells_which_call_sets_one() {
    let server = Server::bare(&[]).await;
    Answer::of(server.predict(&["dog"])).await.is_problem(
        422,
        "no_active_model",
        "PUT /classifier/prediction-service/{model_name}",
    );
}

#[tokio::test]
async fn a_wrong_method_names_the_right_ones() {
    let (server, _worker) = Server::ready(&[]).await;
    let answer = Answer::of(server.put("/classifier/predictions")).await;
    answer.is_problem(405, "method_not_allowed", "POST");
    assert_eq!(answer.header("allow"), "POST");
    let answer = Answer::of(server.request(Method::OPTIONS, "/classifier/prediction-service")).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("allow"), "GET,HEAD");
    let answer = Answer::of(server.request(Method::HEAD, "/health/live")).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, ""));
}

#[tokio::test]
async fn every_fault_of_a_package_is_told_at_once() {
    let (server, _worker) = Server::ready(&[]).await;
    add_package(server.models.path(), "faulty", "{}");
    let answer = Answer::of(server.put("/classifier/prediction-service/faulty")).await;
    let problems = answer.is_problem(422, "unservable_model", "faulty")["problems"].clone();
    assert_eq!(problems.as_array().unwrap().len(), 4, "{problems}");
}

#[tokio::test]
async fn what_is_not_http_does_not_disturb_the_server() {
    let (server, _worker) = Server::ready(&[]).await;
    for junk in [
        &b"\x16\x03\x01\x02\x00\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    ] {
        let mut connection = Connection::open(server.address).await;
        connection.send(junk).await;
        connection.until_ended().await;
        server.still_answers().await;
    }
    let long = encode(&"x".repeat(3000));
    let answer = Answer::of(server.get(&format!("/{long}"))).await;
    answer.is_problem(404, "unknown_route", "no route");
}
