//! A body that is one image.

use bytes::Bytes;

use super::request::{RequestLimits, RequestedImage};

/// The image, with id 0.
pub(crate) fn parse(body: Bytes, limits: RequestLimits) -> Vec<RequestedImage> {
    vec![RequestedImage { id: 0, content: limits.check(body) }]
}
