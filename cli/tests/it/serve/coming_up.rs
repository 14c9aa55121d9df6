//! The start and the end of `classifier serve`: it listens from the start, and reports its state.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use testing::free_port;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::server::{Call, KEY, Server, command, demo_images, prediction_body, repository};

/// A server that was just started, on an address that is known before it prints it.
struct Starting {
    process: Child,
    url: String,
    http: reqwest::Client,
}

impl Starting {
    fn new(words: &[&str]) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let process = command(&["serve", "--listen", &address.to_string()])
            .args(words)
            .env("MODELS_DIR", repository().join("models"))
            .env("LOG_FILTER", "error")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { process, url: format!("http://{address}"), http }
    }

    async fn status(&self, path: &str) -> Option<u16> {
        Some(self.http.get(format!("{}{path}", self.url)).send().await.ok()?.status().as_u16())
    }

    async fn until_it_lives(&self) {
        let until = Instant::now() + Duration::from_secs(60);
        while self.status("/health/live").await != Some(200) {
            assert!(Instant::now() < until, "it does not live");
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn predict(&self) -> (u16, Option<String>, Value) {
        let request = self.http.post(format!("{}/classifier/predictions", self.url)).header("x-api-key", KEY);
        let response = request.json(&prediction_body(&demo_images()[..1])).send().await.unwrap();
        let again = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        (response.status().as_u16(), again, response.json().await.unwrap())
    }

    fn terminate(&self) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn it_lives_and_is_not_ready_while_its_model_loads() {
    let mut server = Starting::new(&["--model", "digits"]);
    server.until_it_lives().await;
    assert_eq!(server.status("/health/ready").await, Some(503));
    let (status, again, problem) = server.predict().await;
    assert_eq!((status, problem["code"].as_str()), (503, Some("model_loading")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("`digits`"), "{problem}");
    assert!(again.unwrap().parse::<u64>().unwrap() >= 1);

    let out = server.process.stdout.take().unwrap();
    let line = spawn_blocking(move || BufReader::new(out).lines().next().unwrap().unwrap()).await.unwrap();
    assert_eq!(line, format!("listening on {}", server.url));
    assert_eq!(server.status("/health/ready").await, Some(200));
    assert_eq!(server.predict().await.0, 200);
}

#[tokio::test]
async fn told_to_stop_while_its_model_loads_it_ends_well() {
    let mut server = Starting::new(&["--model", "digits"]);
    server.until_it_lives().await;
    server.terminate();
    let until = Instant::now() + Duration::from_secs(30);
    while server.process.try_wait().unwrap().is_none() {
        assert!(Instant::now() < until, "it did not end");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.process.wait().unwrap().code(), Some(0));
}

#[tokio::test]
async fn told_to_stop_it_is_not_ready_and_answers_until_the_delay_is_over() {
    let mut server = Server::start(&["--model", "digits", "--stop-delay", "3"]).await;
    let (ready, live) = (|| Call::get("/health/ready"), || Call::get("/health/live"));
    let body = prediction_body(&demo_images()[..1]);
    let begun = Instant::now();
    server.terminate();
    while server.call(ready()).await.status == 200 {
        assert!(begun.elapsed() < Duration::from_secs(3), "it is still ready");
    }
    assert_eq!(server.call(live()).await.status, 200);
    assert_eq!(server.call(Call::post("/classifier/predictions").body(&body)).await.status, 200);
    assert_eq!(server.ended().await, Some(0));
    assert!(begun.elapsed() >= Duration::from_secs(3), "it ended after {:?}", begun.elapsed());
}
