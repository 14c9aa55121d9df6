//! The images of a request, whatever format they came in, and their limits.

use std::num::NonZeroU32;

use bytes::Bytes;
use common::image_size::declared_pixels;
use common::messages::{ImageError, ImageErrorCode};
use sha2::{Digest, Sha256};

use crate::failure::{Code, Failure};

/// Limits of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestLimits {
    /// Images.
    pub max_images: usize,
    /// Bytes of one encoded image.
    pub max_image_bytes: usize,
    /// Pixels of all images together, as their headers tell.
    pub max_pixels: u64,
}

/// One image of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestedImage {
    /// The client's id.
    pub id: i64,
    /// Its bytes, or why it cannot be classified.
    pub content: Result<Bytes, ImageError>,
    /// The name of its file, if it has one.
    pub file_name: Option<String>,
}

impl RequestLimits {
    /// Returns the content of one image, if it is within the limits.
    pub(crate) fn check(&self, bytes: Bytes) -> Result<Bytes, ImageError> {
        if bytes.is_empty() {
            return Err(ImageError {
                code: ImageErrorCode::UndecodableImage,
                detail: "the image is empty, expected an encoded image file".to_owned(),
            });
        }
        if bytes.len() > self.max_image_bytes {
            return Err(ImageError {
                code: ImageErrorCode::ImageTooLarge,
                detail: format!(
                    "the image has {} bytes, expected at most {}",
                    bytes.len(),
                    self.max_image_bytes
                ),
            });
        }
        if let Some(pixels) = declared_pixels(&bytes).filter(|pixels| *pixels > self.max_pixels) {
            return Err(ImageError {
                code: ImageErrorCode::ImageTooLarge,
                detail: format!(
                    "the image has {pixels} pixels, expected at most {} in a whole request",
                    self.max_pixels
                ),
            });
        }
        Ok(bytes)
    }

    /// Refuses requests with too many pixels: a few bytes can declare millions of pixels and block the workers for
    /// other clients.
    pub(crate) fn check_pixels(&self, images: &[RequestedImage]) -> Result<(), Failure> {
        let contents = images.iter().filter_map(|image| image.content.as_ref().ok());
        let pixels = contents.filter_map(|bytes| declared_pixels(bytes)).fold(0, u64::saturating_add);
        if pixels <= self.max_pixels {
            return Ok(());
        }
        Err(Failure::new(
            Code::TooManyPixels,
            format!(
                "the images of the request have {pixels} pixels together, expected at most {}, send them in several \
                 requests",
                self.max_pixels
            ),
        ))
    }

    /// Refuses a request with at least this many images, if that is too many.
    pub(crate) fn check_count(&self, images: usize) -> Result<(), Failure> {
        if images <= self.max_images {
            return Ok(());
        }
        Err(Failure::new(
            Code::TooManyImages,
            format!(
                "the request has {images} images, expected at most {}, send them in several requests",
                self.max_images
            ),
        ))
    }
}

/// A digest of the request's content, independent of its format: a form that is sent again has another boundary.
pub(crate) fn fingerprint(
    images: &[RequestedImage],
    top_k: Option<NonZeroU32>,
    model: Option<&str>,
) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut field = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    // 0 for none, as in release 0.1.0: a key that came to one release may come again to the other.
    field(&top_k.map_or(0, NonZeroU32::get).to_le_bytes());
    field(model.unwrap_or_default().as_bytes());
    for image in images {
        field(&image.id.to_le_bytes());
        match &image.content {
            Ok(bytes) => field(bytes),
            Err(error) => field(error.detail.as_bytes()),
        }
        if let Some(name) = &image.file_name {
            field(name.as_bytes());
        }
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_follows_everything_that_is_asked_for() {
        let image = |id, text: &'static str| RequestedImage {
            id,
            content: Ok(Bytes::from_static(text.as_bytes())),
            file_name: None,
        };
        let named = RequestedImage { file_name: Some("b.png".to_owned()), ..image(1, "c") };
        let base = fingerprint(&[image(0, "ab"), image(1, "c")], None, None);
        assert_eq!(base, fingerprint(&[image(0, "ab"), image(1, "c")], None, None));
        for other in [
            fingerprint(&[image(0, "a"), image(1, "bc")], None, None),
            fingerprint(&[image(1, "ab"), image(0, "c")], None, None),
            fingerprint(&[image(0, "ab"), image(1, "c")], NonZeroU32::new(1), None),
            fingerprint(&[image(0, "ab"), image(1, "c")], None, Some("m")),
            fingerprint(&[image(0, "ab")], None, None),
            fingerprint(&[image(0, "ab"), named], None, None),
        ] {
            assert_ne!(base, other);
        }
    }
}
