//! Stopping: no new requests are accepted, open ones are answered.

use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::harness::{Answer, Server};

async fn until_begun(worker: &crate::worker::TestWorker) {
    while worker.seen.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_open_request_is_answered_and_nothing_new_is_accepted() {
    let (mut server, worker) = Server::ready(&[]).await;
    let open = tokio::spawn(Answer::of(server.predict(&["slow"])));
    until_begun(&worker).await;
    server.stop.cancel();
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    worker.gate.add_permits(1);
    let answer = open.await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.header("connection")), (200, "close"));
    let served = tokio::time::timeout(Duration::from_secs(20), &mut server.served).await;
    served.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_request_that_would_outlast_the_grace_gets_202_before_it_is_over() {
    let (mut server, worker) = Server::ready(&["--stop-grace", "1"]).await;
    let open = tokio::spawn(Answer::of(server.predict(&["slow"]).header("Prefer", "wait=60")));
    until_begun(&worker).await;
    let begun = Instant::now();
    server.stop.cancel();
    let answer = open.await.unwrap();
    assert_eq!(answer.status, 202);
    assert!(begun.elapsed() < Duration::from_secs(30));
    let served = tokio::time::timeout(Duration::from_secs(20), &mut server.served).await;
    served.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_the_process_up() {
    let (mut server, _worker) = Server::ready(&["--stop-grace", "60"]).await;
    let idle = TcpStream::connect(server.address).await.unwrap();
    server.still_answers().await;
    server.stop.cancel();
    let served = tokio::time::timeout(Duration::from_secs(20), &mut server.served).await;
    served.unwrap().unwrap().unwrap();
    drop(idle);
}
