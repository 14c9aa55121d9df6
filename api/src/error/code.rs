//! The table of errors.

use axum::http::StatusCode;

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    /// The HTTP status.
    pub status: StatusCode,
    /// For programs; never changes its meaning.
    pub code: &'static str,
    /// For people.
    pub title: &'static str,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $status:ident, $code:literal, $title:literal;)*) => {
        /// The errors. Each is one row of the table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// All errors, in the order of the table.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Returns status, code and title.
            pub(crate) const fn row(self) -> Row {
                match self {
                    $(Self::$name => Row { status: StatusCode::$status, code: $code, title: $title },)*
                }
            }
        }
    };
}

codes! {
    /// The body is not valid JSON.
    InvalidJson = BAD_REQUEST, "invalid_json", "The body is not JSON";
    /// The body is not a valid multipart form.
    InvalidMultipart = BAD_REQUEST, "invalid_multipart", "The body is not a multipart form";
    /// The request is not valid HTTP.
    BadRequest = BAD_REQUEST, "bad_request", "The request cannot be read";
    /// No key, or an unknown one.
    WrongApiKey = UNAUTHORIZED, "wrong_api_key", "Wrong API key";
    /// The key may only predict and read.
    AdminKeyRequired = FORBIDDEN, "admin_key_required", "This needs the admin key";
    /// `?model=` names a package that clients may not request.
    ModelNotAllowed = FORBIDDEN, "model_not_allowed", "This model is not for clients";
    /// No such path.
    UnknownRoute = NOT_FOUND, "unknown_route", "No such route";
    /// No such prediction, or its retention is over.
    UnknownPrediction = NOT_FOUND, "unknown_prediction", "No such prediction";
    /// No such package.
    UnknownModel = NOT_FOUND, "unknown_model", "No such model";
    /// No such rollout.
    UnknownRollout = NOT_FOUND, "unknown_rollout", "No such rollout";
    /// No such dead letter.
    UnknownDeadLetter = NOT_FOUND, "unknown_dead_letter", "No such dead letter";
    /// The path exists, the method does not.
    MethodNotAllowed = METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed";
    /// The body arrived too slowly.
    RequestTimeout = REQUEST_TIMEOUT, "request_timeout", "The request took too long to arrive";
    /// Another rollout is running.
    RolloutRunning = CONFLICT, "rollout_running", "Another rollout is running";
    /// The first request with this key is still being accepted.
    IdempotencyKeyBusy = CONFLICT, "idempotency_key_busy", "The request with this key is still being accepted";
    /// The body exceeds the limit.
    BodyTooLarge = PAYLOAD_TOO_LARGE, "body_too_large", "The body is too large";
    /// More images than allowed.
    TooManyImages = PAYLOAD_TOO_LARGE, "too_many_images", "Too many images";
    /// More pixels in all images together than allowed.
    TooManyPixels = PAYLOAD_TOO_LARGE, "too_many_pixels", "Too many pixels";
    /// Every image of the request is too large, in bytes or pixels.
    ImageTooLarge = PAYLOAD_TOO_LARGE, "image_too_large", "The image is too large";
    /// The answer would exceed the limit in bytes.
    AnswerTooLarge = PAYLOAD_TOO_LARGE, "answer_too_large", "The answer would be too large";
    /// The content type is not supported.
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "Unsupported content type";
    /// The JSON has the wrong shape.
    InvalidRequest = UNPROCESSABLE_ENTITY, "invalid_request", "The request has the wrong shape";
    /// The query string has a parameter of the wrong type.
    InvalidQuery = UNPROCESSABLE_ENTITY, "invalid_query", "The query has a wrong parameter";
    /// A header has an invalid value.
    InvalidHeader = UNPROCESSABLE_ENTITY, "invalid_header", "A header has a wrong value";
    /// The list of images is empty.
    NoImages = UNPROCESSABLE_ENTITY, "no_images", "There are no images";
    /// No model is active.
    NoActiveModel = UNPROCESSABLE_ENTITY, "no_active_model", "No model is active";
    /// Not a valid package name.
    InvalidModelName = UNPROCESSABLE_ENTITY, "invalid_model_name", "Not a model name";
    /// The package is invalid; `problems` lists why.
    UnservableModel = UNPROCESSABLE_ENTITY, "unservable_model", "The model cannot be served";
    /// Every image failed; `results` says why.
    NoImageClassified = UNPROCESSABLE_ENTITY, "no_image_classified", "No image could be classified";
    /// The idempotency key was used with another request.
    IdempotencyKeyReused = UNPROCESSABLE_ENTITY, "idempotency_key_reused", "The key belongs to another request";
    /// No model was active before.
    NothingToRollBackTo = UNPROCESSABLE_ENTITY, "nothing_to_roll_back_to", "There is no earlier model";
    /// The queue is full.
    QueueFull = TOO_MANY_REQUESTS, "queue_full", "The queue is full";
    /// This process holds as many request bytes as allowed.
    ServerBusy = TOO_MANY_REQUESTS, "server_busy", "The server is busy";
    /// The client has as many pixels in the queue as allowed.
    TooManyPixelsWaiting = TOO_MANY_REQUESTS, "too_many_pixels_waiting", "Too many pixels are waiting";
    /// A bug.
    Internal = INTERNAL_SERVER_ERROR, "internal", "Internal error";
    /// The broker is out of reach.
    BrokerUnavailable = SERVICE_UNAVAILABLE, "broker_unavailable", "The broker is out of reach";
    /// The store is out of reach.
    StoreUnavailable = SERVICE_UNAVAILABLE, "store_unavailable", "The store is out of reach";
    /// A model was chosen and is not active yet.
    ModelLoading = SERVICE_UNAVAILABLE, "model_loading", "The model is loading";
    /// The model that a job was pinned to cannot be loaded any more.
    ModelUnavailable = SERVICE_UNAVAILABLE, "model_unavailable", "The model is not available any more";
    /// A file of the package cannot be read.
    UnreadableModel = SERVICE_UNAVAILABLE, "unreadable_model", "The model cannot be read";
    /// A rollout was rolled back.
    RolloutFailed = SERVICE_UNAVAILABLE, "rollout_failed", "The rollout was rolled back";
    /// A dependency of the service is missing.
    NotReady = SERVICE_UNAVAILABLE, "not_ready", "Not ready";
    /// The deadline passed before a worker took the job.
    DeadlineExceeded = GATEWAY_TIMEOUT, "deadline_exceeded", "The deadline passed";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_code_is_snake_case_and_stands_once_in_the_table() {
        let mut seen = HashSet::new();
        for row in Code::ALL.iter().map(|code| code.row()) {
            assert!(row.code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{}", row.code);
            assert!(seen.insert(row.code), "{} stands twice", row.code);
            assert!(row.status.is_client_error() || row.status.is_server_error(), "{}", row.code);
        }
    }
}
