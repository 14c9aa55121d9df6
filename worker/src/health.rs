//! A worker's HTTP pages: metrics, liveness and readiness.
//!
//! One request per connection, three paths, no body: enough for a scraper and a container's health check.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use common::telemetry::RenderMetrics;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::control::Control;

/// Longest request that is read, in bytes. Only the first line counts.
const MAX_REQUEST: usize = 8192;

/// Timeout of one request.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// How long a ready worker may take to read the fleet's state and to get the queue's answer.
const READY_WITHIN: Duration = Duration::from_secs(2);

/// The sources of the pages. They are served before the worker starts: a process that opens its library is alive and
/// not ready.
pub struct Pages {
    metrics: RenderMetrics,
    control: OnceLock<Arc<Control>>,
}

impl Pages {
    /// Creates the pages of a worker that has not started.
    #[must_use]
    pub fn new(metrics: RenderMetrics) -> Arc<Self> {
        Arc::new(Self { metrics, control: OnceLock::new() })
    }

    /// Notes that the worker has started; this tells whether it takes jobs. Later calls are ignored.
    pub fn started(&self, control: Arc<Control>) {
        self.control.get_or_init(|| control);
    }

    /// Returns why the worker takes no jobs; `None` if it does.
    async fn obstacle(&self) -> Option<String> {
        match self.control.get() {
            Some(control) => control.obstacle(READY_WITHIN).await,
            None => Some("starting: the TensorFlow library is being opened".to_owned()),
        }
    }
}

/// Answers requests until dropped. Waiting for a request needs no bound; each request has a timeout.
pub async fn serve(listener: TcpListener, pages: Arc<Pages>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let pages = Arc::clone(&pages);
                tokio::spawn(async move {
                    let answered = tokio::time::timeout(TIME_LIMIT, answer(stream, &pages)).await;
                    if let Ok(Err(error)) = answered {
                        tracing::debug!(%error, "a request for the worker's pages failed");
                    }
                });
            }
            Err(error) => {
                // Usually no file descriptors: others release some.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(mut stream: TcpStream, pages: &Pages) -> io::Result<()> {
    let head = read_head(&mut stream).await?;
    let (status, body) = match path(&head) {
        Some("/metrics") => ("200 OK", (pages.metrics)()),
        Some("/health/live") => ("200 OK", "live\n".to_owned()),
        Some("/health/ready") => match pages.obstacle().await {
            None => ("200 OK", "ready\n".to_owned()),
            Some(reason) => {
                ("503 Service Unavailable", format!("takes no jobs now: {}\n", one_line(&reason)))
            }
        },
        Some(_) => ("404 Not Found", "known are /metrics, /health/live, /health/ready\n".to_owned()),
        None => ("400 Bad Request", "expected GET\n".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: \
         {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

/// A sentence as one line, as a container's state shows only that.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Reads to the empty line after a request's head, so that closing does not cut the client off.
async fn read_head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut chunk = [0; 1024];
    while head.len() < MAX_REQUEST && !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut chunk).await? {
            0 => break,
            count => head.extend_from_slice(&chunk[..count]),
        }
    }
    Ok(head)
}

/// Returns the path of a `GET`, without its query.
fn path(head: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(head.split(|byte| *byte == b'\r').next()?).ok()?;
    let target = line.strip_prefix("GET ")?.split(' ').next()?;
    target.split('?').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_path_of_a_get_counts() {
        for (head, expected) in [
            ("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", Some("/metrics")),
            ("GET /metrics?x=1 HTTP/1.0\r\n\r\n", Some("/metrics")),
            ("GET /metrics", Some("/metrics")),
            ("POST /metrics HTTP/1.1\r\n\r\n", None),
            ("", None),
            ("\u{0}\r\n", None),
        ] {
            assert_eq!(path(head.as_bytes()), expected, "{head:?}");
        }
    }
}
