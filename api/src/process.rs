//! The API without a listener, for simulations, and its request parser, for fuzzing.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::predict::request::{BodyKind, parse};
use crate::predict::requested::RequestLimits;
use crate::service::Service;
use crate::{Parts, ServeError};

/// An API process without sockets: it takes requests and returns answers. Dropping it simulates a crash: all its
/// background tasks end. Whoever drops the requests' futures ends the requests.
pub struct Process {
    service: Service,
    stop: CancellationToken,
}

impl Process {
    /// Starts it with its background tasks.
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn start(parts: Parts) -> Result<Self, ServeError> {
        let stop = CancellationToken::new();
        Ok(Self { service: Service::start(parts, stop.clone())?, stop })
    }

    /// Answers a request. The future outlives the process and may be dropped at any time, as if the client had
    /// disconnected.
    pub fn call(&self, request: Request<Body>) -> impl Future<Output = Response> + Send + use<> {
        let router = self.service.router();
        async move {
            match router.oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        }
    }

    /// Stops it, as SIGTERM does.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Returns whether it has stopped accepting requests.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.service.closing().is_cancelled()
    }
}

/// Returns all routes of an API process, which ends with `stop`: see [`Process`].
///
/// # Errors
/// [`ServeError`].
pub fn router(parts: Parts, stop: &CancellationToken) -> Result<Router, ServeError> {
    let (service, dies) = (Service::start(parts, CancellationToken::new())?, stop.clone());
    let router = service.router();
    tokio::spawn(async move {
        dies.cancelled().await;
        drop(service);
    });
    Ok(router)
}

/// Reads the body of a prediction request as the API does, and returns its number of images.
///
/// # Errors
/// Why the request is refused.
pub async fn read_request(content_type: Option<&str>, body: Bytes) -> Result<usize, String> {
    // Small, so that the fuzzer's bodies reach the limits.
    let limits = RequestLimits { max_images: 4, max_image_bytes: 1 << 10, max_pixels: 1 << 20 };
    let kind = BodyKind::of(content_type).map_err(|error| format!("{error:?}"))?;
    match parse(kind, content_type, body, limits).await {
        Ok(images) => Ok(images.len()),
        Err(error) => Err(format!("{error:?}")),
    }
}
