//! Errors as clients of the REST API see them: `application/problem+json` (RFC 9457).

use std::time::Duration;

use axum::Json;
use axum::http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::failure::{AboutRollout, Code, Facts, FailedImage, Failure};
use crate::paths::{prediction_path, rollout_path};
use crate::wire::predictions::{ImageProblem, ImageResult};
use crate::wire::problem::Problem;

/// The media type of every error.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// The header with a prediction's id.
pub(crate) const PREDICTION_ID: HeaderName = HeaderName::from_static("x-prediction-id");

/// How to authenticate: the key in this header.
const CHALLENGE: HeaderValue = HeaderValue::from_static("ApiKey realm=\"classifier\", header=\"X-API-Key\"");

/// Returns the status of an error. Nothing else decides it.
pub(crate) const fn status(code: Code) -> StatusCode {
    match code {
        Code::InvalidJson | Code::InvalidMultipart | Code::BadRequest => StatusCode::BAD_REQUEST,
        Code::WrongApiKey => StatusCode::UNAUTHORIZED,
        Code::AdminKeyRequired | Code::ModelNotAllowed => StatusCode::FORBIDDEN,
        Code::UnknownRoute
        | Code::UnknownPrediction
        | Code::UnknownModel
        | Code::UnknownRollout
        | Code::UnknownDeadLetter => StatusCode::NOT_FOUND,
        Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Code::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        Code::RolloutRunning | Code::IdempotencyKeyBusy => StatusCode::CONFLICT,
        Code::BodyTooLarge
        | Code::TooManyImages
        | Code::TooManyPixels
        | Code::ImageTooLarge
        | Code::AnswerTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::InvalidRequest
        | Code::InvalidQuery
        | Code::InvalidHeader
        | Code::NoImages
        | Code::NoActiveModel
        | Code::InvalidModelName
        | Code::UnservableModel
        | Code::NoImageClassified
        | Code::IdempotencyKeyReused
        | Code::NothingToRollBackTo => StatusCode::UNPROCESSABLE_ENTITY,
        Code::QueueFull | Code::ServerBusy | Code::TooManyPixelsWaiting => StatusCode::TOO_MANY_REQUESTS,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Code::BrokerUnavailable
        | Code::StoreUnavailable
        | Code::ModelLoading
        | Code::ModelUnavailable
        | Code::UnreadableModel
        | Code::RolloutFailed
        | Code::NotReady => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
    }
}

/// Returns the address at which an error is documented.
pub(crate) fn kind(code: Code) -> String {
    format!("/redoc#error-{}", code.name())
}

/// Renders a failure, with the status that a library chose or that of its code.
pub(crate) fn render(failure: Failure, chosen: Option<StatusCode>) -> Response {
    let Failure { code, detail, retry_after, facts } = failure;
    let Facts { problems, images, job, rollout, checks } = *facts;
    let status = chosen.unwrap_or(status(code));
    let problem = Problem {
        kind: kind(code),
        title: code.title().to_owned(),
        status: status.as_u16(),
        code: code.name().to_owned(),
        detail,
        problems,
        results: images.map(|images| images.into_iter().map(result_of).collect()),
        generation: match rollout {
            Some(AboutRollout::RolledBack(generation)) => Some(generation.0),
            Some(AboutRollout::Running(_)) | None => None,
        },
        checks,
        prediction_id: job.map(|job| job.to_string()),
    };
    let mut response = (status, Json(problem)).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    if code == Code::WrongApiKey {
        headers.insert(WWW_AUTHENTICATE, CHALLENGE);
    }
    if let Some(wait) = retry_after {
        headers.insert(RETRY_AFTER, whole_seconds(wait));
    }
    let rollout = rollout.map(|(AboutRollout::Running(of) | AboutRollout::RolledBack(of))| rollout_path(of));
    let location = job.map(prediction_path).or(rollout);
    let id = job.map(|job| job.to_string());
    for (name, text) in [(LOCATION, location), (PREDICTION_ID, id)] {
        if let Some(value) = text.and_then(|text| HeaderValue::from_str(&text).ok()) {
            headers.insert(name, value);
        }
    }
    response
}

/// Rounds up, to at least one second.
fn whole_seconds(wait: Duration) -> HeaderValue {
    let seconds = wait.as_secs_f64().ceil().max(1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at least one, whole")]
    HeaderValue::from(seconds as u64)
}

fn result_of(FailedImage { id, file_name, error }: FailedImage) -> ImageResult {
    let problem = ImageProblem { code: error.code.into(), detail: error.detail };
    ImageResult { file_name, ..ImageResult::failed(id, problem) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_the_status_of_an_error() {
        for code in Code::ALL {
            let status = status(*code);
            assert!(status.is_client_error() || status.is_server_error(), "{}: {status}", code.name());
        }
    }

    #[test]
    fn a_retry_is_told_in_whole_seconds_and_never_at_once() {
        for (wait, seconds) in [(0, "1"), (1, "1"), (1_000, "1"), (1_001, "2"), (60_000, "60")] {
            assert_eq!(whole_seconds(Duration::from_millis(wait)), seconds, "{wait} ms");
        }
    }
}
