//! Accepts connections, limits them, and ends them without cutting answers off.
//!
//! axum's own loop has no timeout for request heads nor for sending answers; this one does.

mod writes;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use common::telemetry::api_names;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use self::writes::TimedWrites;

/// Limits of the server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServerLimits {
    /// Timeout for the head of a request.
    pub head_timeout: Duration,
    /// Timeout for sending an answer.
    pub write_timeout: Duration,
    /// Connections at once.
    pub max_connections: usize,
    /// How long open requests may take once the process is told to stop.
    pub stop_grace: Duration,
}

/// Pause after a failed accept, usually for lack of file descriptors.
const AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(100);

/// Serves until `stop`, then answers open requests.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ServerLimits,
    stop: &CancellationToken,
) {
    // Bounds: `next` waits for as long as the process runs; a connection waits for the next head, then as long as its
    // requests may take; after `stop` both end with the grace.
    let slots = Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS)));
    let connections = TaskTracker::new();
    // Closes the connections that are still open after the grace.
    let abandon = CancellationToken::new();
    while let Some((stream, slot)) = stop.run_until_cancelled(next(&listener, &slots)).await {
        let serving = connection(stream, router.clone(), limits, stop.clone());
        let abandon = abandon.clone();
        connections.spawn(async move {
            metrics::gauge!(api_names::CONNECTIONS).increment(1.0);
            // How a connection ended is not logged: its requests are.
            let _ = abandon.run_until_cancelled(serving).await;
            metrics::gauge!(api_names::CONNECTIONS).decrement(1.0);
            drop(slot);
        });
    }
    // Other processes that listen on the same address take over from here.
    drop(listener);
    connections.close();
    if timeout(limits.stop_grace, connections.wait()).await.is_err() {
        tracing::warn!(
            open = connections.len(),
            "the grace is over, closing connections that are still open"
        );
        abandon.cancel();
        connections.wait().await;
    }
}

async fn next(listener: &TcpListener, slots: &Arc<Semaphore>) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed, so a slot becomes free eventually.
    let slot = Arc::clone(slots).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, slot),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(AFTER_FAILED_ACCEPT).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, router: Router, limits: ServerLimits, stop: CancellationToken) {
    // Answers are small and complete: waiting to fill a packet only delays them.
    let _ = stream.set_nodelay(true);
    let service = router.map_request(|request: Request<Incoming>| request.map(Body::new));
    let service = service.map_err(|error: Infallible| match error {});
    let stream = TimedWrites::new(stream, limits.write_timeout);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    tokio::pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended early");
    }
}
