//! An example of each error, and the calls that may return it.

use std::collections::BTreeMap;

use crate::failure::Code;
use crate::problem;
use crate::wire::predictions::{ImageProblem, ImageResult};
use crate::wire::problem::Problem;

const CREATE: &str = "create_prediction";
const READ: &str = "read_prediction";
const DELETE: &str = "delete_prediction";
const SWAP: &str = "swap_model";
const ROLL_BACK: &str = "roll_back_model";
const FLEET: &str = "read_fleet";
const ROLLOUT: &str = "read_rollout";
const MODELS: &str = "list_models";
const LETTERS: &str = "list_dead_letters";
const REPLAY: &str = "replay_dead_letters";
const DROP: &str = "drop_dead_letters";
const READY: &str = "read_readiness";

/// Every call that needs a key.
const WITH_KEY: &[&str] =
    &[CREATE, READ, DELETE, SWAP, ROLL_BACK, FLEET, ROLLOUT, MODELS, LETTERS, REPLAY, DROP];

/// Returns the errors that a call may return, by their status.
pub(super) fn of(operation: &str) -> BTreeMap<u16, Vec<Code>> {
    let mut errors: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in Code::ALL.iter().copied().filter(|code| example(*code).0.contains(&operation)) {
        errors.entry(problem::status(code).as_u16()).or_default().push(code);
    }
    errors
}

/// Returns an error as clients see it.
pub(super) fn problem(code: Code) -> Problem {
    let error = ImageProblem {
        code: "undecodable_image".to_owned(),
        detail: "the bytes are no known image format".to_owned(),
    };
    let results = || [0, 1].map(|id| ImageResult::failed(id, error.clone())).into();
    let problems = || vec!["layer `lambda` is of class Lambda, which is not supported".to_owned()];
    Problem {
        kind: problem::kind(code),
        title: code.title().to_owned(),
        status: problem::status(code).as_u16(),
        code: code.name().to_owned(),
        detail: example(code).1.to_owned(),
        problems: (code == Code::UnservableModel).then(problems),
        results: (code == Code::NoImageClassified).then(results),
        ..Problem::default()
    }
}

/// Returns the calls that may return an error, and an example of its detail.
fn example(code: Code) -> (&'static [&'static str], &'static str) {
    match code {
        Code::InvalidJson => {
            (&[CREATE], "the body is not JSON: EOF while parsing a list at line 1 column 12")
        }
        Code::InvalidMultipart => (&[CREATE], "the body is not a multipart form: it ends within a part"),
        Code::BadRequest => (&[], "the request cannot be read"),
        Code::WrongApiKey => (WITH_KEY, "wrong api key"),
        Code::AdminKeyRequired => (
            &[SWAP, ROLL_BACK, LETTERS, REPLAY, DROP],
            "this key may predict and read, changing the fleet and dead letters need the key in X_ADMIN_API_KEY",
        ),
        Code::ModelNotAllowed => (
            &[CREATE],
            "model `animals_classifier_v1` was never made active, expected one that a swap made active, or that \
             API_CLIENT_MODELS lists",
        ),
        Code::UnknownRoute => (&[], "there is no route `GET /nothing`, /openapi.json lists all of them"),
        Code::UnknownPrediction => (
            &[READ, DELETE],
            "prediction `5f0c1b9e-7d0c-4a53-9f8e-0d6a3f1c2b4d` is not known: it never was, was deleted, or is past its \
             retention",
        ),
        Code::UnknownModel => {
            (&[CREATE, SWAP], "model `cats` not found: there is no file `models/cats/cats.hdf5`")
        }
        Code::UnknownRollout => {
            (&[ROLLOUT], "rollout `99` is not known: it never was, or is forgotten by now")
        }
        Code::UnknownDeadLetter => {
            (&[REPLAY, DROP], "there is no dead letter `5f0c1b9e-7d0c-4a53-9f8e-0d6a3f1c2b4d/0`")
        }
        Code::MethodNotAllowed => (&[], "`PATCH` is not allowed here, expected GET, DELETE"),
        Code::RequestTimeout => (&[CREATE], "the body did not arrive within 120 seconds"),
        Code::RolloutRunning => {
            (&[SWAP, ROLL_BACK], "rollout 7 is still running, a new one can begin once it has ended")
        }
        Code::IdempotencyKeyBusy => (
            &[CREATE],
            "the first request with this Idempotency-Key is still being accepted, send it again in a moment",
        ),
        Code::BodyTooLarge => (&[CREATE], "the body has 314572800 bytes, expected at most 67108864"),
        Code::TooManyImages => {
            (&[CREATE], "the request has 10000 images, expected at most 1024, send them in several requests")
        }
        Code::TooManyPixels => (
            &[CREATE],
            "the images of the request have 1200000000 pixels together, expected at most 640000000, send them in several \
             requests",
        ),
        Code::AnswerTooLarge => (
            &[CREATE, READ],
            "the answer would have 328000000 bytes for 256 images with 20000 scores each, expected at most 33554432: ask \
             for fewer scores (`top_k`), or send the images in several requests",
        ),
        Code::ImageTooLarge => (&[CREATE, READ], "the image has 20971520 bytes, expected at most 10485760"),
        Code::UnsupportedMediaType => (
            &[CREATE],
            "content type `text/plain` is not supported, expected application/json, multipart/form-data or image/*",
        ),
        Code::InvalidRequest => (&[CREATE], "`images` is missing, expected a list of images"),
        Code::InvalidQuery => (
            &[CREATE, READ, DELETE, SWAP, ROLL_BACK, FLEET, ROLLOUT, MODELS, LETTERS, REPLAY, DROP, READY],
            "Failed to deserialize query string: unknown field `topk`, expected `top_k` or `model`",
        ),
        Code::InvalidHeader => {
            (&[CREATE], "the Idempotency-Key is empty, too long or not ASCII, expected 1 to 256 characters")
        }
        Code::NoImages => (&[CREATE], "the request has no images, expected at least one"),
        Code::NoActiveModel => (
            &[CREATE],
            "no model is active, choose one with `PUT /classifier/prediction-service/{model_name}`",
        ),
        Code::InvalidModelName => (
            &[CREATE, SWAP],
            "model name \"../etc\" is not valid, expected 1 to 128 letters, digits, `_`, `-` or `.`, not starting with \
             a dot",
        ),
        Code::UnservableModel => (
            &[CREATE, SWAP, ROLL_BACK],
            "package `cats` cannot be served: layer `lambda` is of class Lambda, which is not supported",
        ),
        Code::NoImageClassified => {
            (&[CREATE, READ], "none of the 2 images could be classified, `results` says why")
        }
        Code::IdempotencyKeyReused => (
            &[CREATE],
            "this Idempotency-Key came with another request before, expected the same request or a new key",
        ),
        Code::NothingToRollBackTo => {
            (&[ROLL_BACK], "no model was active before the present one, so there is nothing to go back to")
        }
        Code::QueueFull => (&[CREATE, REPLAY], "the queue is full, try again later"),
        Code::TooManyPixelsWaiting => (
            &[CREATE],
            "your images that are not classified yet would have 704000000 pixels together with these, expected at most \
             640000000, send them again once others are",
        ),
        Code::ServerBusy => (&[CREATE, READ], "the server holds as many request bytes as it may, try again"),
        Code::Internal => (&[], "the server failed to answer this request, its log says why"),
        Code::BrokerUnavailable => (
            &[CREATE, LETTERS, REPLAY, DROP],
            "the broker that queues the work is out of reach: connection refused",
        ),
        Code::StoreUnavailable => (
            &[CREATE, READ, DELETE, SWAP, ROLL_BACK, FLEET, ROLLOUT, MODELS, REPLAY],
            "the store of jobs and results is out of reach: connection refused",
        ),
        Code::ModelLoading => (&[CREATE], "model `animals_classifier_v0` is being loaded, try again"),
        Code::ModelUnavailable => {
            (&[CREATE, READ], "no worker can load model `animals_classifier_v0` any more")
        }
        Code::UnreadableModel => {
            (&[CREATE, SWAP, MODELS], "the models folder `models` did not answer in 60 seconds, try again")
        }
        Code::RolloutFailed => (
            &[SWAP, ROLL_BACK],
            "rollout 7 of model `cats` was rolled back: worker `host-1a2b3c4d` could not load it: out of memory",
        ),
        Code::NotReady => (&[READY], "broker: out of reach"),
        Code::DeadlineExceeded => {
            (&[CREATE, READ], "the deadline of the prediction passed before the workers finished it")
        }
    }
}
