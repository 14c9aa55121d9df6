//! A prediction request in any of its formats.

use bytes::Bytes;
use common::image_size::declared_pixels;
use common::messages::{ImageError, ImageErrorCode};
use common::offload::offload;
use sha2::{Digest, Sha256};

use super::{json, multipart, raw};
use crate::error::{ApiError, Code};

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

/// The formats of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyKind {
    /// The JSON document.
    Json,
    /// `multipart/form-data`, each part one image.
    Multipart,
    /// The bytes of one image.
    Raw,
    /// No content type: JSON, or the bytes of one image.
    Unsaid,
    /// The generic type that clients send by default: the bytes of one image.
    Vague,
}

impl BodyKind {
    /// Returns the format for a content type. Without one, the body is JSON unless it begins like an image: clients of
    /// this service's predecessor rely on it.
    pub(crate) fn of(content_type: Option<&str>) -> Result<Self, ApiError> {
        let Some(content_type) = content_type else { return Ok(Self::Unsaid) };
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" => Ok(Self::Json),
            "multipart/form-data" => Ok(Self::Multipart),
            other if other.starts_with("application/") && other.ends_with("+json") => Ok(Self::Json),
            other if other.len() > 6 && other.starts_with("image/") => Ok(Self::Raw),
            "application/octet-stream" | "application/x-www-form-urlencoded" => Ok(Self::Vague),
            _ => Err(unsupported(content_type, "is not supported")),
        }
    }

    /// Returns the format of these bytes.
    fn settled(self, content_type: Option<&str>, body: &[u8]) -> Result<Self, ApiError> {
        match self {
            Self::Json | Self::Multipart | Self::Raw => Ok(self),
            Self::Unsaid | Self::Vague if raw::begins_like_an_image(body) => Ok(Self::Raw),
            Self::Unsaid => Ok(Self::Json),
            Self::Vague => {
                let fact = "says nothing of the body, which does not begin like an image";
                Err(unsupported(content_type.unwrap_or_default(), fact))
            }
        }
    }
}

fn unsupported(content_type: &str, fact: &str) -> ApiError {
    let shown: String = content_type.split(';').next().unwrap_or_default().trim().chars().take(80).collect();
    ApiError::new(
        Code::UnsupportedMediaType,
        format!("content type `{shown}` {fact}, expected application/json, multipart/form-data or image/*"),
    )
}

/// Reads the images of a body.
///
/// # Errors
/// An error of the whole request. An error of one image is that image's content.
pub(crate) async fn parse(
    kind: BodyKind,
    content_type: Option<&str>,
    body: Bytes,
    limits: RequestLimits,
) -> Result<Vec<RequestedImage>, ApiError> {
    let images = match kind.settled(content_type, &body)? {
        BodyKind::Multipart => multipart::parse(content_type.unwrap_or_default(), body, limits).await?,
        BodyKind::Raw => raw::parse(body, limits),
        BodyKind::Json | BodyKind::Unsaid | BodyKind::Vague => parse_json(without_mark(body), limits).await?,
    };
    if images.is_empty() {
        return Err(ApiError::new(Code::NoImages, "the request has no images, expected at least one"));
    }
    limits.check_pixels(&images)?;
    Ok(images)
}

/// Removes the byte order mark that some editors and frameworks put before a text.
fn without_mark(mut body: Bytes) -> Bytes {
    if body.starts_with(b"\xef\xbb\xbf") { body.split_off(3) } else { body }
}

/// Larger JSON bodies are parsed off the async threads.
const BLOCKING_BYTES: usize = 1 << 20;

async fn parse_json(body: Bytes, limits: RequestLimits) -> Result<Vec<RequestedImage>, ApiError> {
    if body.len() < BLOCKING_BYTES {
        return json::parse(&body, limits);
    }
    offload(move || json::parse(&body, limits)).await.map_err(ApiError::internal)?
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
    fn check_pixels(&self, images: &[RequestedImage]) -> Result<(), ApiError> {
        let contents = images.iter().filter_map(|image| image.content.as_ref().ok());
        let pixels = contents.filter_map(|bytes| declared_pixels(bytes)).fold(0, u64::saturating_add);
        if pixels <= self.max_pixels {
            return Ok(());
        }
        Err(ApiError::new(
            Code::TooManyPixels,
            format!(
                "the images of the request have {pixels} pixels together, expected at most {}, send them in several \
                 requests",
                self.max_pixels
            ),
        ))
    }

    /// Refuses a request with at least this many images, if that is too many.
    pub(crate) fn check_count(&self, images: usize) -> Result<(), ApiError> {
        if images <= self.max_images {
            return Ok(());
        }
        Err(ApiError::new(
            Code::TooManyImages,
            format!(
                "the request has {images} images, expected at most {}, send them in several requests",
                self.max_images
            ),
        ))
    }
}

/// A digest of the request's content, independent of its format: a form that is sent again has another boundary.
pub(crate) fn fingerprint(images: &[RequestedImage], top_k: u32, model: Option<&str>) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut field = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    field(&top_k.to_le_bytes());
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
    fn the_content_type_tells_how_a_request_is_written() {
        for (content_type, expected) in [
            (None, Some(BodyKind::Unsaid)),
            (Some("application/json"), Some(BodyKind::Json)),
            (Some("Application/JSON; charset=utf-8"), Some(BodyKind::Json)),
            (Some("application/vnd.api+json"), Some(BodyKind::Json)),
            (Some("multipart/form-data; boundary=x"), Some(BodyKind::Multipart)),
            (Some("image/jpeg"), Some(BodyKind::Raw)),
            (Some("image/"), None),
            (Some("text/plain"), None),
            (Some("application/x-www-form-urlencoded"), Some(BodyKind::Vague)),
            (Some("Application/Octet-Stream"), Some(BodyKind::Vague)),
            (Some(""), None),
        ] {
            assert_eq!(BodyKind::of(content_type).ok(), expected, "{content_type:?}");
        }
    }

    #[test]
    fn a_fingerprint_follows_everything_that_is_asked_for() {
        let image = |id, text: &'static str| RequestedImage {
            id,
            content: Ok(Bytes::from_static(text.as_bytes())),
            file_name: None,
        };
        let named = RequestedImage { file_name: Some("b.png".to_owned()), ..image(1, "c") };
        let base = fingerprint(&[image(0, "ab"), image(1, "c")], 0, None);
        assert_eq!(base, fingerprint(&[image(0, "ab"), image(1, "c")], 0, None));
        for other in [
            fingerprint(&[image(0, "a"), image(1, "bc")], 0, None),
            fingerprint(&[image(1, "ab"), image(0, "c")], 0, None),
            fingerprint(&[image(0, "ab"), image(1, "c")], 1, None),
            fingerprint(&[image(0, "ab"), image(1, "c")], 0, Some("m")),
            fingerprint(&[image(0, "ab")], 0, None),
            fingerprint(&[image(0, "ab"), named], 0, None),
        ] {
            assert_ne!(base, other);
        }
    }
}
