//! Metrics.

use crate::harness::{Answer, Server};

#[tokio::test]
async fn metrics_are_prometheus_text_with_a_series_for_each_worker() {
    let (server, _worker) = Server::ready(&[]).await;
    let answer = Answer::of(server.client.get(format!("http://{}/metrics", server.address))).await;
    assert!(answer.header("content-type").starts_with("text/plain; version=0.0.4"));
    assert!(answer.text.starts_with("# rendered\n"));
    assert!(answer.text.contains("classifier_worker_generation{worker=\"w1\"} 1\n"), "{}", answer.text);
    assert!(answer.text.contains("classifier_worker_images_per_second{worker=\"w1\"} 20\n"));
}
