//! A prediction request in any of its formats.

use bytes::Bytes;
use common::offload::offload;

use super::requested::{RequestLimits, RequestedImage};
use super::{json, multipart, raw};
use crate::failure::{Code, Failure};

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
    pub(crate) fn of(content_type: Option<&str>) -> Result<Self, Failure> {
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
    fn settled(self, content_type: Option<&str>, body: &[u8]) -> Result<Self, Failure> {
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

fn unsupported(content_type: &str, fact: &str) -> Failure {
    let shown: String = content_type.split(';').next().unwrap_or_default().trim().chars().take(80).collect();
    Failure::new(
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
) -> Result<Vec<RequestedImage>, Failure> {
    let images = match kind.settled(content_type, &body)? {
        BodyKind::Multipart => multipart::parse(content_type.unwrap_or_default(), body, limits).await?,
        BodyKind::Raw => raw::parse(body, limits),
        BodyKind::Json | BodyKind::Unsaid | BodyKind::Vague => parse_json(without_mark(body), limits).await?,
    };
    if images.is_empty() {
        return Err(Failure::new(Code::NoImages, "the request has no images, expected at least one"));
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

async fn parse_json(body: Bytes, limits: RequestLimits) -> Result<Vec<RequestedImage>, Failure> {
    if body.len() < BLOCKING_BYTES {
        return json::parse(&body, limits);
    }
    offload(move || json::parse(&body, limits)).await.map_err(Failure::internal)?
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
}
