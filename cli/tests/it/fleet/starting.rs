//! Programs that start before their servers, and that are stopped at unusual moments.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use testing::{Process, Traffic, free_port};

use super::client::{Client, images};
use super::programs::{Api, Fleet, Start, eventually};

/// An idle program ends within this time after it is stopped, also on a busy machine.
const SOON: Duration = Duration::from_secs(5);

async fn status_of(client: &Client, path: &str) -> StatusCode {
    client.get(path).await.map_or(StatusCode::IM_A_TEAPOT, |answer| answer.status)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_answer_before_their_servers_do_and_come_up_with_them() {
    let mut fleet = Fleet::new();
    let ways = fleet.ways();
    for away in [Traffic::Refuse, Traffic::Drop] {
        ways.set(away);
        let (port, began) = (free_port(), Instant::now());
        // Waits until the port is open.
        let mut api = fleet.api_on(port, Start { ways: Some(&ways), ..Start::default() });
        assert!(began.elapsed() < SOON, "{away:?}: listens after {:?}", began.elapsed());
        let client = Client::new([api.url()]);
        let listen = format!("127.0.0.1:{}", free_port());
        let settings = [("WORKER_LISTEN", listen.as_str())];
        let mut worker = fleet.worker(Start { ways: Some(&ways), settings: &settings, ..Start::default() });
        let worker_pages = Client::new([format!("http://{listen}")]);
        for (pages, what) in [(&client, "API"), (&worker_pages, "worker")] {
            eventually(&format!("the {what} answers while its servers are away ({away:?})"), async || {
                (status_of(pages, "/health/live").await == StatusCode::OK).then_some(())
            })
            .await;
            assert_eq!(status_of(pages, "/health/ready").await, StatusCode::SERVICE_UNAVAILABLE, "{what}");
        }
        let answer = client.predict(&images(), &[]).await.unwrap();
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);

        ways.set(Traffic::Pass);
        client.workers_are_ready(1).await;
        assert_eq!(client.swap(0, "blue").await.unwrap().status, StatusCode::OK);
        let answer = client.predict(&images(), &[]).await.unwrap();
        assert_eq!(answer.fault(&images()), None);
        for process in [&mut worker, &mut api.process] {
            assert!(tokio::task::block_in_place(|| process.stop()).success());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_told_to_stop_while_it_opens_tensorflow_leaves_at_once() {
    let mut fleet = Fleet::new();
    for contained in [false, true] {
        if contained && !can_contain() {
            let _ = writeln!(
                std::io::stderr(),
                "NOT TESTED: a worker as process 1, `unshare --pid` is not allowed"
            );
            continue;
        }
        let mut worker = if contained { fleet.contained_worker(&[]) } else { fleet.worker(&[]) };
        let id =
            if contained { eventually("it runs", async || child_of(&worker)).await } else { worker.id() };
        eventually("it opens TensorFlow", async || {
            let files = fs::read_to_string(format!("/proc/{id}/maps")).unwrap_or_default();
            files.contains("libtensorflow").then_some(())
        })
        .await;
        let began = Instant::now();
        let status = tokio::task::block_in_place(|| worker.stop());
        assert!(status.success(), "contained: {contained}: {status} after {:?}", began.elapsed());
        assert!(began.elapsed() < SOON, "contained: {contained}: after {:?}", began.elapsed());
    }
}

/// Returns whether processes can be put into a namespace here; many containers do not allow it.
fn can_contain() -> bool {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "true"]).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn child_of(process: &Process) -> Option<u32> {
    let id = process.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_process_that_leaves_is_open_until_its_load_balancer_has_noticed() {
    const DELAY: Duration = Duration::from_secs(3);

    let mut fleet = Fleet::new();
    let Api { mut process, port } = fleet.api(&[("API_STOP_DELAY", "3")]);
    let client = Client::new([format!("http://127.0.0.1:{port}")]);
    let _worker = fleet.worker(&[]);
    client.workers_are_ready(1).await;
    assert_eq!(client.swap(0, "blue").await.unwrap().status, StatusCode::OK);
    assert_eq!(status_of(&client, "/health/ready").await, StatusCode::OK);

    process.signal("TERM");
    let began = Instant::now();
    eventually("it is not ready", async || {
        (status_of(&client, "/health/ready").await == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
    let mut answered = 0;
    while began.elapsed() < DELAY - Duration::from_secs(1) {
        // Each over its own connection.
        let client = Client::new([format!("http://127.0.0.1:{port}")]);
        assert_eq!(client.predict(&images(), &[]).await.unwrap().fault(&images()), None);
        assert_eq!(status_of(&client, "/health/live").await, StatusCode::OK);
        answered += 1;
    }
    assert!(answered > 0);
    assert!(tokio::task::block_in_place(|| process.wait()).success());
    assert!(began.elapsed() >= DELAY, "{:?}", began.elapsed());
}
