//! Reads request bodies: bounded in bytes, time and memory, and always to their end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, EXPECT};
use axum::middleware::Next;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use tokio::time::timeout;

use crate::app::App;
use crate::budget::Reserved;
use crate::failure::{Code, Failure};

/// How much of a refused body is read and discarded, so that a client that reads only after sending gets its answer and
/// no connection error.
const DRAIN_BYTES: usize = 1 << 30;
/// Timeout for that.
const DRAIN_TIME: Duration = Duration::from_secs(30);

/// A body in memory and its share of the budget.
pub(crate) struct Received {
    /// The body.
    pub bytes: Bytes,
    /// Must be held as long as the bytes or anything made from them.
    pub reserved: Reserved,
}

/// Reads a body into memory.
pub(crate) async fn receive(app: &Arc<App>, headers: &HeaderMap, body: Body) -> Result<Received, Failure> {
    let limit = app.config.max_body_bytes;
    let announced = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    if let Some(announced) = announced.filter(|bytes: &usize| *bytes > limit) {
        return Err(too_large(&format!("has {announced} bytes"), limit));
    }
    // Memory is reserved as bytes arrive: an announced body may never come.
    app.budget.reserve(announced.unwrap_or(0)).map(drop)?;
    let reading = read(body, limit, app.budget.reserve(0)?);
    timeout(app.config.body_timeout, reading).await.unwrap_or_else(|_| {
        let seconds = app.config.body_timeout.as_secs_f64();
        Err(Failure::new(
            Code::RequestTimeout,
            format!("the body did not arrive in the {seconds} seconds that the server waits for it"),
        ))
    })
}

async fn read(body: Body, limit: usize, reserved: Reserved) -> Result<Received, Failure> {
    let mut stream = body.into_data_stream();
    let mut reserved = reserved;
    let mut bytes = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| {
            Failure::new(Code::BadRequest, format!("the body ended before it was complete: {error}"))
        })?;
        if bytes.len() + chunk.len() > limit {
            return Err(too_large("is larger", limit));
        }
        reserved.grow_to(bytes.len() + chunk.len())?;
        bytes.extend_from_slice(&chunk);
    }
    Ok(Received { bytes: bytes.freeze(), reserved })
}

fn too_large(fact: &str, limit: usize) -> Failure {
    Failure::new(
        Code::BodyTooLarge,
        format!(
            "the body {fact}, this server takes at most {limit} bytes, send the images in several requests"
        ),
    )
}

/// Reads every body to its end that a handler did not read, after the answer.
pub(crate) async fn drain_unread(request: Request, next: Next) -> Response {
    // A client that waits for `100 Continue` sends no body until the server reads: it must not be asked to.
    if request.body().is_end_stream() || request.headers().contains_key(EXPECT) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let body = Body::from_stream(Drained { inner: Some(body.into_data_stream()) });
    next.run(Request::from_parts(parts, body)).await
}

/// A body that is read to its end when it is dropped.
struct Drained {
    inner: Option<BodyDataStream>,
}

impl Stream for Drained {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let polled = inner.poll_next_unpin(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.inner = None;
        }
        polled
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            // Best effort: beyond the limits the connection is closed.
            tokio::spawn(timeout(DRAIN_TIME, drain(inner)));
        }
    }
}

async fn drain(mut stream: BodyDataStream) {
    let mut left = DRAIN_BYTES;
    while let Some(Ok(chunk)) = stream.next().await {
        if chunk.len() > left {
            return;
        }
        left -= chunk.len();
    }
}
