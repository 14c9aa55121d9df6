//! What is too much is refused at once, and the connection stays sane.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::connection::{Connection, head};
use crate::harness::{Answer, Server, body};

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

    // A client that sends it all the same is not cut off, and can go on.
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
        seen.iter().map(|part| part.images.len()).collect()
    };
    assert_eq!(sizes, [1, 1, 1], "no two images of which one fills a part share it");
}

#[tokio::test]
async fn request_bytes_in_memory_are_bounded() {
    let words = ["--max-body-bytes", "1048576", "--max-bytes-in-flight", "1572864"];
    let (server, _worker) = Server::ready(&words).await;
    // A client that announces a megabyte and takes its time holds that much.
    let mut slow = Connection::open(server.address).await;
    slow.send(head(&format!("Content-Length: {MIB}")).as_bytes()).await;
    let padded =
        || server.post("/classifier/predictions").body(body(&["dog"]).to_string() + &" ".repeat(MIB - 1000));
    let refused = loop {
        let answer = Answer::of(padded()).await;
        if answer.status != 200 {
            break answer;
        }
    };
    refused.is_problem(429, "server_busy", "try again");
    assert_eq!(refused.header("retry-after"), "1");
    server.still_answers().await;

    // Given up, it gives the memory back.
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
