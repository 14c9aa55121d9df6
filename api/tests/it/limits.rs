//! Requests beyond a limit are refused at once, and the connection stays usable.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::connection::{Connection, head};
use crate::harness::{Answer, Server, add_package, body};

const MIB: usize = 1 << 20;

#[tokio::test]
async fn a_body_of_300_mb_is_refused_by_its_announced_length_before_it_is_sent() {
    let (server, _worker) = Server::ready(&[]).await;
    let mut stream = Connection::open(server.address).await;
    let framing = format!("Content-Length: {}", 300 * MIB);
    stream.send(head(&framing).as_bytes()).await;
    let (status, problem) = stream.answer().await;
    assert_eq!((status, &problem["code"]), (413, &Value::from("body_too_large")));
    assert!(problem["detail"].as_str().unwrap().contains("314572800 bytes"), "{problem}");

    // A client that sends the body nevertheless is not cut off, and can continue.
    let chunk = vec![b' '; MIB];
    for _ in 0..300 {
        stream.send(&chunk).await;
    }
    stream.still_answers().await;
}

#[tokio::test]
async fn a_body_of_300_mb_without_a_length_is_refused_while_it_comes() {
    let (server, _worker) = Server::ready(&[]).await;
    let mut stream = Connection::open(server.address).await;
    stream.send(head("Transfer-Encoding: chunked").as_bytes()).await;
    let mut chunk = format!("{MIB:x}\r\n").into_bytes();
    chunk.extend(vec![b' '; MIB]);
    chunk.extend(b"\r\n");
    for _ in 0..300 {
        stream.send(&chunk).await;
    }
    stream.send(b"0\r\n\r\n").await;
    let (status, problem) = stream.answer().await;
    assert_eq!((status, &problem["code"]), (413, &Value::from("body_too_large")));
    stream.still_answers().await;
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_no_before_it_sends_anything() {
    let (server, _worker) = Server::ready(&[]).await;
    let mut stream = Connection::open(server.address).await;
    let framing = format!("Content-Length: {}\r\nExpect: 100-continue", 300 * MIB);
    stream.send(head(&framing).as_bytes()).await;
    assert_eq!(stream.answer().await.0, 413);
    server.still_answers().await;
}

#[tokio::test]
async fn a_large_body_with_a_wrong_key_gets_its_401() {
    let (server, _worker) = Server::ready(&[]).await;
    let request = server
        .client
        .post(format!("http://{}/classifier/predictions", server.address))
        .header("X-API-Key", "wrong")
        .body(vec![b'x'; 50 * MIB]);
    Answer::of(request).await.is_problem(401, "wrong_api_key", "wrong api key");
}

#[tokio::test]
async fn ten_thousand_images_are_counted_and_refused() {
    let (server, worker) = Server::ready(&[]).await;
    let images = vec!["dog"; 10_000];
    Answer::of(server.predict(&images)).await.is_problem(
        413,
        "too_many_images",
        "10000 images, expected at most 1024",
    );
    assert!(worker.seen.lock().unwrap().is_empty());
    let answer = Answer::of(server.predict(&images[..1024])).await;
    assert_eq!(answer.json()["response"]["results"].as_array().unwrap().len(), 1024);
}

#[tokio::test]
async fn a_batch_beyond_axums_own_two_megabytes_is_taken() {
    let (server, worker) = Server::ready(&[]).await;
    let large = "x".repeat(5 * MIB);
    let answer = Answer::of(server.predict(&[&large, "dog", &large])).await;
    assert_eq!(answer.status, 200);
    let sizes: Vec<usize> = {
        let seen = worker.seen.lock().unwrap();
        seen.iter().map(|part| part.payload.count()).collect()
    };
    assert_eq!(sizes, [1, 1, 1], "no two images of which one fills a part share it");
}

#[tokio::test]
async fn request_bytes_in_memory_are_bounded() {
    let words = ["--max-body-bytes", "1048576", "--max-bytes-in-flight", "1572864"];
    let (server, _worker) = Server::ready(&words).await;
    let padded =
        || server.post("/classifier/predictions").body(body(&["dog"]).to_string() + &" ".repeat(MIB - 1000));
    let deadline = Instant::now() + Duration::from_secs(20);
    let (refused, slow) = loop {
        // A client that has sent a megabyte except its end holds that much memory. On a busy machine the other request may
        // be first; then the client is the one that is refused, and begins again.
        let mut slow = Connection::open(server.address).await;
        slow.send(head(&format!("Content-Length: {MIB}")).as_bytes()).await;
        slow.send(&vec![b' '; MIB - 1]).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let answer = Answer::of(padded()).await;
        if answer.status != 200 {
            break (answer, slow);
        }
        assert!(Instant::now() < deadline, "what has arrived takes no memory");
    };
    refused.is_problem(429, "server_busy", "try again");
    assert_eq!(refused.header("retry-after"), "1");
    server.still_answers().await;

    // When the request is aborted, the memory is free again.
    drop(slow);
    let deadline = Instant::now() + Duration::from_secs(20);
    while Answer::of(padded()).await.status != 200 {
        assert!(Instant::now() < deadline, "the memory did not come back");
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_408() {
    let (server, _worker) = Server::ready(&["--body-timeout", "0.2"]).await;
    let mut stream = Connection::open(server.address).await;
    stream.send(head("Content-Length: 10").as_bytes()).await;
    let (status, problem) = stream.answer().await;
    assert_eq!((status, &problem["code"]), (408, &Value::from("request_timeout")));
    server.still_answers().await;
}

#[tokio::test]
async fn a_head_that_does_not_come_ends_the_connection() {
    let (server, _worker) = Server::ready(&["--head-timeout", "0.2"]).await;
    let mut stream = Connection::open(server.address).await;
    stream.send(b"GET /health/live HTTP/1.1\r\nHos").await;
    let ended = tokio::time::timeout(Duration::from_secs(20), stream.until_ended()).await;
    assert!(ended.is_ok());
    server.still_answers().await;
}

/// Blocking work takes two seconds longer here.
#[tokio::test]
async fn a_large_answer_is_written_beside_other_requests() {
    let (server, _worker) = Server::ready(&[]).await;
    let span = Duration::from_secs(2);
    common::simulated::inline_after(Some(span));
    let raw = |size| {
        let request = server.post("/classifier/predictions").header("content-type", "image/png");
        request.body("x".repeat(size))
    };
    let began = Instant::now();
    // The fake worker's label is as long as the image.
    let answer = Answer::of(raw(100_000)).await;
    let took = began.elapsed();
    common::simulated::inline_after(None);
    assert_eq!(answer.status, 200);
    assert!(answer.text.len() > 100_000 && took >= span, "{} bytes after {took:?}", answer.text.len());
}

/// A client's queued work is limited by the time that workers need for it, since other clients wait behind its large
/// images.
#[tokio::test]
async fn a_client_that_has_as_many_pixels_waiting_as_it_may_sends_no_more_large_images() {
    let (server, worker) = Server::ready(&["--max-client-pixels", "100000000"]).await;
    let claims = |sides: &[u32], prefer: &'static str| {
        let image = |side: &u32| json!({"image_id": 1, "img_base64": STANDARD.encode(claims_to_be(*side))});
        let mut images: Vec<Value> = sides.iter().map(image).collect();
        images.push(json!({"image_id": 2, "img_base64": STANDARD.encode("slow")}));
        server.post("/classifier/predictions").header("prefer", prefer).json(&json!({"images": images}))
    };
    // More than its share, and the only job.
    let first = Answer::of(claims(&[8_000, 8_000], "respond-async")).await;
    assert_eq!(first.status, 202, "{}", first.text);
    let refused = Answer::of(claims(&[3_000], "wait=10")).await;
    let says = "137000000 pixels together with these, expected at most 100000000";
    refused.is_problem(429, "too_many_pixels_waiting", says);
    assert_eq!(refused.header("retry-after"), "1");
    let small = server.predict(&["dog"]).header("prefer", "respond-async");
    assert_eq!(Answer::of(small).await.status, 202);

    // An answered job returns its share, whether or not a client waited.
    worker.gate.add_permits(1);
    let path = format!("/classifier/predictions/{}?wait=20", first.header("x-prediction-id"));
    assert_eq!(Answer::of(server.get(&path)).await.status, 200);
    worker.gate.add_permits(3);
    let deadline = Instant::now() + Duration::from_secs(20);
    while Answer::of(claims(&[8_000], "wait=10")).await.status != 200 {
        assert!(Instant::now() < deadline, "the share did not come back");
    }
    assert_eq!(Answer::of(claims(&[8_000, 8_000], "wait=10")).await.status, 200);
}

/// A BMP of 54 bytes that declares this many pixels a side.
fn claims_to_be(side: u32) -> Vec<u8> {
    let header = [14 + 40, 40, side, side, 1 | 24 << 16, 0, 0, 0, 0, 0, 0].map(u32::to_le_bytes).concat();
    [b"BM", &[0; 8][..], &header].concat()
}

#[tokio::test]
async fn pixels_that_a_few_bytes_claim_to_be_are_counted_before_anything_is_queued() {
    let (server, worker) = Server::ready(&[]).await;
    let claims = |side, count| {
        let image = json!({"image_id": 1, "img_base64": STANDARD.encode(claims_to_be(side))});
        server.post("/classifier/predictions").json(&json!({"images": vec![image; count]}))
    };
    Answer::of(claims(8_000, 1_024)).await.is_problem(
        413,
        "too_many_pixels",
        "65536000000 pixels together, expected at most 640000000",
    );
    // An image that is too large for any request is its own error.
    let answer = Answer::of(claims(30_000, 1)).await;
    answer.is_problem(413, "image_too_large", "900000000 pixels");
    assert!(worker.seen.lock().unwrap().is_empty());
    // A request within the limit is split so that no part exceeds the largest image.
    assert_eq!(Answer::of(claims(8_000, 10)).await.status, 200);
    let sizes: Vec<usize> = worker.seen.lock().unwrap().iter().map(|part| part.payload.count()).collect();
    assert_eq!(sizes, [1; 10]);
}

#[tokio::test]
async fn bytes_that_are_announced_and_do_not_come_take_no_memory_from_others() {
    let (server, _worker) =
        Server::ready(&["--max-body-bytes", "1048576", "--max-bytes-in-flight", "1048576"]).await;
    let mut silent = Vec::new();
    for _ in 0..8 {
        let mut connection = Connection::open(server.address).await;
        connection.send(head(&format!("Content-Length: {MIB}")).as_bytes()).await;
        connection.send(b" ").await;
        silent.push(connection);
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.still_answers().await;
}

#[tokio::test]
async fn a_form_of_a_million_parts_is_left_where_it_has_too_many() {
    let (server, _worker) = Server::ready(&[]).await;
    let form = |part: &str| {
        let body = part.repeat(1_000_000) + "--X--\r\n";
        server
            .post("/classifier/predictions")
            .header("Content-Type", "multipart/form-data; boundary=X")
            .body(body)
    };
    for name in ["a", "a; filename=b"] {
        let part = format!("--X\r\nContent-Disposition: form-data; name={name}\r\n\r\n\r\n");
        let started = Instant::now();
        Answer::of(form(&part)).await.is_problem(413, "too_many_images", "expected");
        assert!(started.elapsed() < Duration::from_secs(5), "{name}: after {:?}", started.elapsed());
    }
    server.still_answers().await;
}

#[tokio::test]
async fn a_client_that_never_reads_loses_its_connection_to_others() {
    let (server, _worker) =
        Server::ready(&["--max-connections", "2", "--write-timeout", "0.5", "--head-timeout", "600"]).await;
    // A used connection is not kept open.
    let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
    let mut deaf = Vec::new();
    for _ in 0..2 {
        let mut connection = Connection::open(server.address).await;
        let asks = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2_000);
        // The server reads no more once it cannot write.
        let sending = connection.send(asks.as_bytes());
        let _ = tokio::time::timeout(Duration::from_millis(200), sending).await;
        deaf.push(connection);
    }
    let ask = http.get(format!("http://{}/health/live", server.address)).timeout(Duration::from_secs(10));
    assert_eq!(Answer::of(ask).await.status, 200);
}

#[tokio::test]
async fn requests_that_wait_leave_connections_to_others() {
    let (server, worker) = Server::ready(&["--max-waiting", "2"]).await;
    let wait = || tokio::spawn(Answer::of(server.predict(&["slow"])));
    let waiting = [wait(), wait()];
    tokio::time::sleep(Duration::from_millis(300)).await;
    let answer = Answer::of(server.predict(&["slow"])).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let status = answer.header("location").to_owned() + "?wait=20";
    assert_eq!(Answer::of(server.get(&status)).await.status, 202);
    worker.gate.add_permits(3);
    for answer in waiting {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    assert_eq!(Answer::of(server.get(&status)).await.status, 200);
}

const LABELS: usize = 20_000;

/// A package with many labels.
fn add_labelled(server: &Server) {
    let labels: Vec<String> = (0..LABELS).map(|number| format!("a label with number {number}")).collect();
    let config = json!({
        "img_preproc_type": "no_prepro", "image_preproc_config": {"input_shape": [2, 2, 3]},
        "output_postproc_type": "argmax", "output_config": {"output_classes": labels},
    });
    add_package(server.models.path(), "labelled", &config.to_string());
}

#[tokio::test]
async fn an_answer_that_would_be_too_large_is_refused_before_it_is_queued() {
    let (server, worker) = Server::ready(&[]).await;
    add_labelled(&server);
    server.swap("labelled").await;
    let images = vec!["dog"; 256];
    let ask =
        |top_k: u32| server.post(&format!("/classifier/predictions?top_k={top_k}")).json(&body(&images));
    Answer::of(ask(20_000)).await.is_problem(413, "answer_too_large", "256 images with 20000 scores each");
    Answer::of(ask(u32::MAX)).await.is_problem(413, "answer_too_large", "expected at most 33554432");
    assert!(worker.seen.lock().unwrap().is_empty());
    assert_eq!(Answer::of(ask(1_000)).await.status, 200);
    // Of two labels there are at most two, however many were requested.
    server.swap("pets").await;
    assert_eq!(Answer::of(ask(u32::MAX)).await.status, 200);
}

#[tokio::test]
async fn an_answer_that_is_too_large_all_the_same_is_not_built() {
    let (server, _worker) = Server::ready(&["--max-answer-bytes", "3000"]).await;
    let long = "x".repeat(2_000);
    let answer = Answer::of(server.predict(&[&long, &long])).await;
    answer.is_problem(413, "answer_too_large", "expected at most 3000");
    // The prediction exists, with the same result.
    let again = Answer::of(server.get(answer.header("location"))).await;
    again.is_problem(413, "answer_too_large", "expected at most 3000");
    server.still_answers().await;
}
