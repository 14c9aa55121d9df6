//! A body that is one image.

use bytes::Bytes;

use super::requested::{RequestLimits, RequestedImage};

/// The image, with id 0.
pub(crate) fn parse(body: Bytes, limits: RequestLimits) -> Vec<RequestedImage> {
    vec![RequestedImage { id: 0, content: limits.check(body), file_name: None }]
}

/// Returns whether bytes begin like a supported format, or like HEIC and AVIF: the workers have a clear error for
/// these.
pub(crate) fn begins_like_an_image(bytes: &[u8]) -> bool {
    let beginnings: [&[u8]; 8] =
        [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"];
    let inside = |range, word: &[u8]| bytes.get::<std::ops::Range<usize>>(range) == Some(word);
    beginnings.into_iter().any(|beginning| bytes.starts_with(beginning))
        || (bytes.starts_with(b"RIFF") && inside(8..12, b"WEBP"))
        || inside(4..8, b"ftyp")
}
