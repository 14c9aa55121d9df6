//! The table of errors.

macro_rules! codes {
    ($($(#[doc = $meaning:literal])* $name:ident = $code:literal, $title:literal;)*) => {
        /// The errors. Each is one row of the table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum Code { $($(#[doc = $meaning])* $name,)* }

        impl Code {
            /// All errors, in the order of the table.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Returns its name, for programs; it never changes its meaning.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// Returns it in a few words, for people.
            pub(crate) const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// Returns what it means, in a sentence for the description of the API.
            pub(crate) fn meaning(self) -> String {
                match self { $(Self::$name => concat!($($meaning),*).trim().to_owned(),)* }
            }
        }
    };
}

codes! {
    /// The body is not valid JSON.
    InvalidJson = "invalid_json", "The body is not JSON";
    /// The body is not a valid multipart form.
    InvalidMultipart = "invalid_multipart", "The body is not a multipart form";
    /// The request is not valid HTTP.
    BadRequest = "bad_request", "The request cannot be read";
    /// No key, or an unknown one.
    WrongApiKey = "wrong_api_key", "Wrong API key";
    /// The key may only predict and read.
    AdminKeyRequired = "admin_key_required", "This needs the admin key";
    /// `?model=` names a package that clients may not request.
    ModelNotAllowed = "model_not_allowed", "This model is not for clients";
    /// No such path.
    UnknownRoute = "unknown_route", "No such route";
    /// The prediction is unknown, deleted, or past its retention.
    UnknownPrediction = "unknown_prediction", "No such prediction";
    /// No such package; `detail` names the missing file.
    UnknownModel = "unknown_model", "No such model";
    /// No such rollout, or it is forgotten.
    UnknownRollout = "unknown_rollout", "No such rollout";
    /// No such dead letter.
    UnknownDeadLetter = "unknown_dead_letter", "No such dead letter";
    /// The path exists, the method does not.
    MethodNotAllowed = "method_not_allowed", "Method not allowed";
    /// The body arrived too slowly.
    RequestTimeout = "request_timeout", "The request took too long to arrive";
    /// Another rollout is running; `Location` points to it.
    RolloutRunning = "rollout_running", "Another rollout is running";
    /// The first request with this idempotency key is still being accepted.
    IdempotencyKeyBusy = "idempotency_key_busy", "The request with this key is still being accepted";
    /// The body exceeds the limit.
    BodyTooLarge = "body_too_large", "The body is too large";
    /// More images than allowed.
    TooManyImages = "too_many_images", "Too many images";
    /// More pixels in all images together than allowed.
    TooManyPixels = "too_many_pixels", "Too many pixels";
    /// Every image of the request is too large, in bytes or pixels.
    ImageTooLarge = "image_too_large", "The image is too large";
    /// The answer would exceed the limit in bytes.
    AnswerTooLarge = "answer_too_large", "The answer would be too large";
    /// The content type is not supported.
    UnsupportedMediaType = "unsupported_media_type", "Unsupported content type";
    /// The JSON has the wrong shape.
    InvalidRequest = "invalid_request", "The request has the wrong shape";
    /// The query has an unknown parameter, or one of the wrong type.
    InvalidQuery = "invalid_query", "The query has a wrong parameter";
    /// A header has an invalid value.
    InvalidHeader = "invalid_header", "A header has a wrong value";
    /// The list of images is empty.
    NoImages = "no_images", "There are no images";
    /// No model is active.
    NoActiveModel = "no_active_model", "No model is active";
    /// Not a valid package name.
    InvalidModelName = "invalid_model_name", "Not a model name";
    /// The package cannot be served; `problems` lists all problems.
    UnservableModel = "unservable_model", "The model cannot be served";
    /// No image could be classified; `results` says why.
    NoImageClassified = "no_image_classified", "No image could be classified";
    /// The idempotency key was used with another request.
    IdempotencyKeyReused = "idempotency_key_reused", "The key belongs to another request";
    /// No model was active before.
    NothingToRollBackTo = "nothing_to_roll_back_to", "There is no earlier model";
    /// The queue is full.
    QueueFull = "queue_full", "The queue is full";
    /// This process holds as many request bytes as allowed.
    ServerBusy = "server_busy", "The server is busy";
    /// The client has as many pixels in the queue as allowed.
    TooManyPixelsWaiting = "too_many_pixels_waiting", "Too many pixels are waiting";
    /// A bug.
    Internal = "internal", "Internal error";
    /// The broker is out of reach, or refuses for now.
    BrokerUnavailable = "broker_unavailable", "The broker is out of reach";
    /// The store is out of reach, or refuses for now.
    StoreUnavailable = "store_unavailable", "The store is out of reach";
    /// A model was chosen and is not active yet.
    ModelLoading = "model_loading", "The model is loading";
    /// The model that a job was pinned to cannot be loaded any more.
    ModelUnavailable = "model_unavailable", "The model is not available any more";
    /// The package, or the models folder, cannot be read.
    UnreadableModel = "unreadable_model", "The model cannot be read";
    /// The rollout was rolled back, and the model that was active before still is; `detail` says why.
    RolloutFailed = "rollout_failed", "The rollout was rolled back";
    /// A check failed, or the process is stopping; `checks` says why.
    NotReady = "not_ready", "Not ready";
    /// The deadline passed before a worker took the job.
    DeadlineExceeded = "deadline_exceeded", "The deadline passed";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_code_is_snake_case_and_stands_once_in_the_table() {
        let mut seen = HashSet::new();
        for code in Code::ALL.iter().map(|code| code.name()) {
            assert!(code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{code}");
            assert!(seen.insert(code), "{code} stands twice");
        }
    }
}
