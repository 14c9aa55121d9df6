//! What fuzzing gives its bytes to. Behind the feature `testing`.

use bytes::Bytes;

use crate::predict::request::{BodyKind, RequestLimits, parse};

/// Reads the body of a prediction's request, as the API does, and says how many images it holds.
///
/// # Errors
/// Why the request is refused.
pub async fn read_request(content_type: Option<&str>, body: Bytes) -> Result<usize, String> {
    // Small, so that bodies of a fuzzer's size meet them.
    let limits = RequestLimits { max_images: 4, max_image_bytes: 1 << 10 };
    let kind = BodyKind::of(content_type).map_err(|error| format!("{error:?}"))?;
    match parse(kind, content_type, body, limits).await {
        Ok(images) => Ok(images.len()),
        Err(error) => Err(format!("{error:?}")),
    }
}
