//! A form whose file parts are the images.

use axum::body::Body;
use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use bytes::Bytes;

use super::request::{RequestLimits, RequestedImage};
use crate::error::{ApiError, Code};

/// The file parts in their order, with ids from 0.
///
/// # Errors
/// The body is not a form, or has too many files.
pub(crate) async fn parse(
    content_type: &str,
    body: Bytes,
    limits: RequestLimits,
) -> Result<Vec<RequestedImage>, ApiError> {
    let mut request = Request::new(Body::from(body));
    if let Ok(value) = content_type.parse() {
        request.headers_mut().insert(CONTENT_TYPE, value);
    }
    // The body was bounded when it was received.
    DefaultBodyLimit::disable().apply(&mut request);
    let mut form = Multipart::from_request(request, &())
        .await
        .map_err(|rejection| ApiError::new(Code::InvalidMultipart, rejection.body_text()))?;
    let mut images = Vec::new();
    let mut count = 0;
    while let Some(field) = form.next_field().await.map_err(|error| not_a_form(&error))? {
        if !is_file(&field) {
            continue;
        }
        count += 1;
        if count > limits.max_images {
            continue;
        }
        let bytes = field.bytes().await.map_err(|error| not_a_form(&error))?;
        let id = i64::try_from(images.len()).unwrap_or(i64::MAX);
        images.push(RequestedImage { id, content: limits.check(bytes) });
    }
    limits.check_count(count)?;
    Ok(images)
}

/// A part is a file if it has a file name, or says that it is an image.
fn is_file(field: &Field<'_>) -> bool {
    field.file_name().is_some() || field.content_type().is_some_and(|kind| kind.starts_with("image/"))
}

fn not_a_form(error: &MultipartError) -> ApiError {
    ApiError::new(Code::InvalidMultipart, format!("the body is not a multipart form: {}", error.body_text()))
}
