//! A form whose parts are the images.
//!
//! A form is parsed on a blocking thread, and only up to the limit of parts: a part takes a few bytes of the body, and
//! parsing it as long as parsing an image.

mod disposition;

use axum::body::Body;
use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use bytes::Bytes;
use common::messages::{ImageError, ImageErrorCode};
use common::offload::offload;
use futures_util::FutureExt as _;

use self::disposition::Disposition;
use super::raw::begins_like_an_image;
use super::requested::{RequestLimits, RequestedImage};
use crate::failure::{Code, Failure};

/// Returns the parts in their order, with ids from 0: each is an image or an error.
///
/// # Errors
/// The body is not a form, or has too many parts.
pub(crate) async fn parse(
    content_type: &str,
    body: Bytes,
    limits: RequestLimits,
) -> Result<Vec<RequestedImage>, Failure> {
    let content_type = content_type.to_owned();
    let read = offload(move || {
        // The whole body is in memory, so nothing blocks.
        let images = read(&content_type, body, limits).now_or_never();
        images.unwrap_or_else(|| Err(Failure::internal("a form that is in memory was waited for")))
    });
    read.await.map_err(Failure::internal)?
}

async fn read(
    content_type: &str,
    body: Bytes,
    limits: RequestLimits,
) -> Result<Vec<RequestedImage>, Failure> {
    let mut request = Request::new(Body::from(body));
    if let Ok(value) = content_type.parse() {
        request.headers_mut().insert(CONTENT_TYPE, value);
    }
    // The body was bounded when it was received.
    DefaultBodyLimit::disable().apply(&mut request);
    let mut form = Multipart::from_request(request, &())
        .await
        .map_err(|rejection| Failure::new(Code::InvalidMultipart, rejection.body_text()))?;
    let mut images = Vec::new();
    while let Some(field) = form.next_field().await.map_err(|error| not_a_form(&error))? {
        limits.check_count(images.len() + 1)?;
        let header = field.headers().get(CONTENT_DISPOSITION).map_or(&[][..], |value| value.as_bytes());
        let said = Disposition::parse(header);
        let is_file = said.file.is_some() || says_that_it_is_an_image(&field);
        let bytes = field.bytes().await.map_err(|error| not_a_form(&error))?;
        // A copy: a waiting image must not keep the whole form in memory.
        let bytes = Bytes::copy_from_slice(&bytes);
        let id = i64::try_from(images.len()).unwrap_or(i64::MAX);
        let is_image = is_file || begins_like_an_image(&bytes);
        let content = if is_image { limits.check(bytes) } else { Err(not_an_image(said.field.as_deref())) };
        images.push(RequestedImage { id, content, file_name: said.file });
    }
    Ok(images)
}

fn says_that_it_is_an_image(field: &Field<'_>) -> bool {
    field.content_type().is_some_and(|kind| kind.starts_with("image/"))
}

fn not_an_image(field: Option<&str>) -> ImageError {
    let name = field.unwrap_or_default();
    ImageError {
        code: ImageErrorCode::NotAnImage,
        detail: format!(
            "part `{name}` of the form has no file name and does not begin like an image, expected an image file; \
             what is asked for stands in the query"
        ),
    }
}

fn not_a_form(error: &MultipartError) -> Failure {
    Failure::new(Code::InvalidMultipart, format!("the body is not a multipart form: {}", error.body_text()))
}
