//! All errors as clients see them: `application/problem+json` (RFC 9457).
//!
//! [`code::Code::row`] is the table of statuses, codes and titles; nothing else decides a status.

mod causes;
pub(crate) mod code;
pub(crate) mod fallback;

use std::time::Duration;

use axum::Json;
use axum::http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use common::broker::BrokerError;
use common::package::PackageError;
use common::store::StoreError;
use serde_json::{Map, Value};

use self::causes::Seldom;
pub(crate) use self::causes::without_credentials;
pub(crate) use self::code::Code;
use crate::paths::rollout_path;
use crate::rollout::SwapError;

/// The media type of every error.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// `Retry-After` while the broker or the store is out of reach.
const OUT_OF_REACH: Duration = Duration::from_secs(5);

static STORE_FAILURES: Seldom = Seldom::of("the store fails requests");
static BROKER_FAILURES: Seldom = Seldom::of("the broker fails requests");

/// An error answer.
#[derive(Debug)]
pub(crate) struct ApiError {
    code: Code,
    detail: String,
    extensions: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl ApiError {
    /// Creates an error with a sentence that names the object, the fact and the expectation.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        let mut error = Self { code, detail: detail.into(), extensions: Map::new(), headers: Vec::new() };
        if code == Code::WrongApiKey {
            let challenge = HeaderValue::from_static("ApiKey realm=\"classifier\", header=\"X-API-Key\"");
            error.headers.push((WWW_AUTHENTICATE, challenge));
        }
        error
    }

    /// Creates an internal error: the cause is logged, the client sees only that it is a bug.
    pub(crate) fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed because of a bug");
        Self::new(Code::Internal, "the server failed to answer this request, its log says why")
    }

    /// Returns its row of the table.
    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// Adds a member to the problem document.
    pub(crate) fn with(mut self, key: &str, value: Value) -> Self {
        self.extensions.insert(key.to_owned(), value);
        self
    }

    /// Sets `Retry-After`, in whole seconds and at least one.
    pub(crate) fn retry_after(mut self, wait: Duration) -> Self {
        let seconds = wait.as_secs_f64().ceil().max(1.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at least one, whole")]
        self.headers.push((RETRY_AFTER, HeaderValue::from(seconds as u64)));
        self
    }

    /// Sets `Location`.
    pub(crate) fn location(self, path: &str) -> Self {
        self.header(LOCATION, path)
    }

    /// Adds a header. An invalid value is left out.
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }
}

/// The error for a prediction that is not known.
pub(crate) fn unknown_prediction(id: impl std::fmt::Display) -> ApiError {
    let id: String = id.to_string().chars().take(64).collect();
    ApiError::new(
        Code::UnknownPrediction,
        format!("prediction `{id}` is not known: it never was, was deleted, or is past its retention"),
    )
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let row = self.code.row();
        let mut body = Map::new();
        body.insert("type".to_owned(), Value::from(format!("/redoc#error-{}", row.code)));
        body.insert("title".to_owned(), Value::from(row.title));
        body.insert("status".to_owned(), Value::from(row.status.as_u16()));
        body.insert("code".to_owned(), Value::from(row.code));
        body.insert("detail".to_owned(), Value::from(self.detail));
        body.extend(self.extensions);
        let mut response = (row.status, Json(Value::Object(body))).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let detail = match &error {
            StoreError::Unavailable(why) => format!("the store of jobs and results is out of reach: {why}"),
            StoreError::Refused(why) => format!("the store of jobs and results refuses for now: {why}"),
            StoreError::Malformed(_) => return Self::internal(error),
        };
        STORE_FAILURES.say(&error);
        Self::new(Code::StoreUnavailable, without_credentials(&detail)).retry_after(OUT_OF_REACH)
    }
}

impl From<BrokerError> for ApiError {
    fn from(error: BrokerError) -> Self {
        let detail = match &error {
            BrokerError::Full => return Self::new(Code::QueueFull, "the queue is full, try again later"),
            BrokerError::Unavailable(why) => {
                format!("the broker that queues the work is out of reach: {why}")
            }
            BrokerError::Refused(why) => format!("the broker that queues the work refuses for now: {why}"),
            BrokerError::Malformed(_) => return Self::internal(error),
        };
        BROKER_FAILURES.say(&error);
        Self::new(Code::BrokerUnavailable, without_credentials(&detail)).retry_after(OUT_OF_REACH)
    }
}

impl From<PackageError> for ApiError {
    fn from(error: PackageError) -> Self {
        let detail = error.to_string();
        match error {
            PackageError::Missing(_) => Self::new(Code::UnknownModel, detail),
            PackageError::Invalid { problems, .. } => {
                Self::new(Code::UnservableModel, detail).with("problems", Value::from(problems))
            }
            PackageError::Unreadable { .. } => {
                tracing::warn!(%detail, "a model package cannot be read");
                Self::new(Code::UnreadableModel, detail).retry_after(OUT_OF_REACH)
            }
        }
    }
}

impl From<SwapError> for ApiError {
    fn from(error: SwapError) -> Self {
        match error {
            SwapError::Busy(generation) => Self::new(
                Code::RolloutRunning,
                format!("rollout {generation} is still running, a new one can begin once it has ended"),
            )
            .location(&rollout_path(generation))
            .retry_after(Duration::from_secs(1)),
            SwapError::NothingToRollBackTo => Self::new(
                Code::NothingToRollBackTo,
                "no model was active before the present one, so there is nothing to go back to",
            ),
            SwapError::TooLate => Self::new(
                Code::StoreUnavailable,
                "the store did not record the rollout in time: it was not begun and is not begun any more, try again",
            )
            .retry_after(OUT_OF_REACH),
            // The client has disconnected.
            SwapError::GivenUp => Self::new(Code::BadRequest, error.to_string()),
            SwapError::Store(error) => error.into(),
        }
    }
}
