//! The program: its start without servers, and its end.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use testing::free_port;
use tokio::time::sleep;

use crate::harness::{Answer, KEY, body};

fn program() -> Command {
    // With the usual small limit of open files.
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "ulimit -Sn 1024; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_classifier-api")]);
    // Nothing listens on port 1.
    command
        .env_clear()
        .env("X_API_KEY", KEY)
        .env("RABBITMQ_URL", "amqp://me:secret-word@127.0.0.1:1/%2f")
        .env("REDIS_URL", "redis://:secret-word@127.0.0.1:1/0");
    command
}

struct Running {
    process: Child,
    address: SocketAddr,
    client: reqwest::Client,
    _models: tempfile::TempDir,
}

impl Running {
    async fn start() -> Self {
        let models = tempfile::tempdir().unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let process = program()
            .env("API_LISTEN", address.to_string())
            .env("MODELS_DIR", models.path())
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let running = Self { process, address, client, _models: models };
        let until = Instant::now() + Duration::from_secs(20);
        while running.get("/health/live").send().await.is_err() {
            assert!(Instant::now() < until, "it does not listen");
            sleep(Duration::from_millis(20)).await;
        }
        running
    }

    fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.get(format!("http://{}{path}", self.address))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn it_listens_at_once_and_tells_which_servers_are_missing_but_no_password() {
    let mut running = Running::start().await;
    assert_eq!(Answer::of(running.get("/health/live")).await.status, 200);
    let ready = Answer::of(running.get("/health/ready")).await;
    let checks = ready.is_problem(503, "not_ready", "store: ")["checks"].clone();
    for check in ["broker", "store", "model", "workers"] {
        assert_ne!(checks[check], "ok", "{checks}");
    }
    let predict = running.client.post(format!("http://{}/classifier/predictions", running.address));
    let refused = Answer::of(predict.header("X-API-Key", KEY).json(&body(&["dog"]))).await;
    refused.is_problem(503, "store_unavailable", "store");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert!(!(ready.text + &refused.text).contains("secret-word"));

    let id = running.process.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let until = Instant::now() + Duration::from_secs(20);
    while running.process.try_wait().unwrap().is_none() {
        assert!(Instant::now() < until, "it did not end");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(running.process.wait().unwrap().code(), Some(0));
}

fn ends(set: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = program();
    let Output { status, stderr, .. } =
        command.env("API_LISTEN", "127.0.0.1:0").envs(set.iter().copied()).output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_setting_that_can_never_work_ends_it_at_once_and_is_named() {
    let here = env!("CARGO_MANIFEST_DIR");
    for (set, says) in [
        (&[("MODELS_DIR", "/nowhere/at/all")][..], "MODELS_DIR"),
        (&[("MODELS_DIR", here), ("X_API_KEY", "")], "X_API_KEY"),
        (&[("MODELS_DIR", here), ("RABBITMQ_URL", "amqps://me:secret-word@host")], "RABBITMQ_URL"),
        (&[("MODELS_DIR", here), ("REDIS_URL", "rediss://:secret-word@host")], "REDIS_URL"),
        (&[("MODELS_DIR", here), ("API_PART_MAX_IMAGES", "0")], "API_PART_MAX_IMAGES"),
    ] {
        let (code, said) = ends(set);
        assert_eq!(code, Some(2), "{set:?}: {said}");
        assert!(said.contains(says) && !said.contains("secret-word"), "{set:?}: {said}");
    }
}

/// The soft limit that a shell sets is raised to the hard limit.
#[tokio::test]
async fn it_raises_the_limit_of_open_files_at_its_start() {
    let running = Running::start().await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", running.process.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let mut numbers = line.split_whitespace().filter_map(|word| word.parse::<u64>().ok());
    let (soft, hard) = (numbers.next().unwrap(), numbers.next().unwrap());
    assert!(soft == hard && soft > 1024, "{line}");
}
