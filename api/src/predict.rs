//! Predictions: creating, reading and deleting them.
//!
//! `request` parses the request into `requested` images. The use cases know no HTTP: in `classify`, `pin` chooses the model,
//! `split` makes parts, and `submit` stores and queues the job; `jobs` reads and deletes one. `answer` builds the answer.

pub(crate) mod answer;
pub(crate) mod answer_size;
mod base64;
mod classify;
mod job_share;
mod jobs;
mod json;
mod multipart;
pub(crate) mod pin;
mod raw;
pub(crate) mod request;
pub(crate) mod requested;
mod split;
mod submit;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, Request, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use self::classify::{Order, classify};
use self::pin::Asked;
use self::request::BodyKind;
use self::requested::RequestLimits;
use crate::app::App;
use crate::body::{Received, receive};
use crate::extract::{Manner, NoQuery, QueryOf, Segment, model_name};
use crate::failure::{Code, Failure};
use crate::keys::Caller;
use crate::trace::Trace;
use crate::waiting::{PREFERENCE_APPLIED, Preference, Waiting};
use crate::wire::predictions::{PendingAnswer, PredictionAnswer, PredictionRequest};

/// Longest idempotency key, in bytes.
const MAX_KEY: usize = 256;

/// Query parameters of a prediction.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PredictionQuery {
    /// Number of best labels to return for each image as `scores`. Without it or with 0 there are none, or as many as
    /// the `k` of a package of type `top_k`.
    #[serde(default)]
    #[param(example = 5, format = Int64, maximum = 4294967295_u32)]
    top_k: u32,
    /// A package other than the active one, such as `animals_classifier_v0`.
    #[param(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9_-][A-Za-z0-9_.-]*$")]
    model: Option<String>,
}

/// How long to wait.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WaitQuery {
    /// Waits for the result up to this many seconds.
    #[param(example = 10, format = Int64, maximum = 4294967295_u32)]
    wait: Option<u32>,
}

/// Classifies images.
///
/// The body is the JSON document, a `multipart/form-data` form whose parts are the images (ids count from 0), or the
/// bytes of one image with its `image/*` content type, `application/octet-stream` or none (id 0). An invalid image does
/// not fail its batch: its entry has an `error`.
#[utoipa::path(post, path = "/classifier/predictions", operation_id = "create_prediction", tag = "predictions",
    params(
        PredictionQuery,
        ("Prefer" = Option<String>, Header, description = "`wait=N` waits up to N seconds, `respond-async` not at all", example = "wait=10"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request answers with the same job", min_length = 1, max_length = 256),
    ),
    request_body(content(
        (PredictionRequest = "application/json"),
        (Vec<u8> = "multipart/form-data"),
        (Vec<u8> = "image/*"),
    )),
    responses(
        (status = 200, description = "The predictions", body = PredictionAnswer, headers(
            ("X-Prediction-Id" = String, description = "Id of the prediction"),
            ("X-Model-Version" = String, description = "Digest of the package that answered"),
            ("X-Model-Generation" = u64, description = "The fleet's generation when the request was accepted"),
            ("Server-Timing" = String, description = "Milliseconds in the queue, decoding, and in the model"),
        )),
        (status = 202, description = "Accepted, and not finished within the time to wait", body = PendingAnswer, headers(
            ("X-Prediction-Id" = String, description = "Id of the prediction"),
            ("Location" = String, description = "Address for polling"),
            ("Retry-After" = u64, description = "Seconds until the next poll"),
            ("Preference-Applied" = String, description = "The preference that was applied"),
        )),
    ))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Extension(trace): Extension<Trace>,
    QueryOf(query): QueryOf<PredictionQuery>,
    request: Request,
) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let content_type = parts.headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?"));
    let kind = BodyKind::of(content_type)?;
    refuse_encoded(&parts.headers)?;
    let key = idempotency_key(&parts.headers)?;
    let asked = query.model.as_deref().map(model_name).transpose()?;
    let model = asked.map(|model| Asked { model, role: caller.role });
    let Received { bytes, reserved } = receive(&app, &parts.headers, body).await?;
    let limits = RequestLimits {
        max_images: app.config.max_images,
        max_image_bytes: app.config.max_image_bytes,
        max_pixels: app.config.max_request_pixels,
    };
    let images = request::parse(kind, content_type, bytes, limits).await?;
    let Manner { preference, prefix } = Manner::of(&parts);
    let waiting = preference.waiting(app.config.default_wait, app.config.max_wait);
    let (top_k, patience) = (NonZeroU32::new(query.top_k), waiting.limit);
    let order = Order { images, top_k, model, key, caller, trace, patience, reserved };
    let found = classify(&app, order).await?;
    let mut response = answer::answer(&app, found, &waiting, &prefix).await;
    if preference != Preference::default()
        && let Ok(value) = HeaderValue::from_str(&waiting.applied)
    {
        response.headers_mut().insert(PREFERENCE_APPLIED, value);
    }
    Ok(response)
}

/// Returns the state of a prediction: what the `POST` would have answered after waiting until now.
#[utoipa::path(get, path = "/classifier/predictions/{id}", operation_id = "read_prediction", tag = "predictions",
    params(("id" = String, Path, description = "The prediction"), WaitQuery),
    responses(
        (status = 200, description = "The predictions", body = PredictionAnswer),
        (status = 202, description = "It is queued or processing", body = PendingAnswer),
    ))]
pub(crate) async fn read(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Segment,
    QueryOf(query): QueryOf<WaitQuery>,
    Manner { preference, prefix }: Manner,
) -> Result<Response, Failure> {
    let job = id.job_id()?;
    let asked = query.wait.map(|seconds| Duration::from_secs(seconds.into())).or(preference.wait);
    let waiting = Waiting::of(app.capped(asked.unwrap_or_default()));
    let found = jobs::read(&app, job, &caller, waiting.limit).await?;
    Ok(answer::answer(&app, found, &waiting, &prefix).await)
}

/// Deletes a prediction: images that are not classified yet are skipped, results are forgotten.
#[utoipa::path(delete, path = "/classifier/predictions/{id}", operation_id = "delete_prediction", tag = "predictions",
    params(("id" = String, Path, description = "The prediction")),
    responses(
        (status = 204, description = "It is forgotten"),
    ))]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Segment,
    _: QueryOf<NoQuery>,
) -> Result<StatusCode, Failure> {
    jobs::delete(&app, id.job_id()?, &caller).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn refuse_encoded(headers: &HeaderMap) -> Result<(), Failure> {
    match headers.get(CONTENT_ENCODING) {
        Some(encoding) if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") => Err(Failure::new(
            Code::UnsupportedMediaType,
            "compressed bodies are not supported (Content-Encoding), images are compressed already",
        )),
        Some(_) | None => Ok(()),
    }
}

/// Reads the key from the header. A quoted key, as an IETF draft writes it, equals the same key without quotes.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let unquoted = |text: &str| match text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => inner.replace("\\\"", "\"").replace("\\\\", "\\"),
        None => text.to_owned(),
    };
    match value.to_str().map(|text| unquoted(text.trim())) {
        Ok(key) if !key.is_empty() && key.len() <= MAX_KEY => Ok(Some(key)),
        Ok(_) | Err(_) => Err(Failure::new(
            Code::InvalidHeader,
            format!(
                "the Idempotency-Key is empty, too long or not ASCII, expected 1 to {MAX_KEY} characters"
            ),
        )),
    }
}
