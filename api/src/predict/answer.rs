//! A job as an HTTP answer, the same for the request that created it and for later ones.

use axum::Json;
use axum::http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use common::messages::{ImageError, ImageOutcome, Job, JobRecord, LabelScore, StageTimes};
use common::offload::offload;

use super::answer_size;
use super::jobs::{Standing, standing};
use crate::app::App;
use crate::budget::Reserved;
use crate::failure::Failure;
use crate::paths::prediction_path;
use crate::prefix::Prefix;
use crate::problem::PREDICTION_ID;
use crate::waiting::PREFERENCE_APPLIED;
use crate::waiting::Waiting;
use crate::wire::predictions::{
    ImageProblem, ImageResult, Pending, PendingAnswer, PredictionAnswer, Predictions, Score,
};

/// The header with the digest of the package that answered.
const MODEL_VERSION: HeaderName = HeaderName::from_static("x-model-version");
/// The header with the generation that was active when the request was accepted.
const MODEL_GENERATION: HeaderName = HeaderName::from_static("x-model-generation");
/// The header with the times of the stages.
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Builds the answer for the state of a job.
pub(crate) async fn answer(app: &App, job: Job, waiting: &Waiting, prefix: &Prefix) -> Response {
    let Job { record, status } = job;
    let pending = |status| pending(&record, status, waiting, prefix);
    let (mut response, times) = match standing(&record, status) {
        Standing::Queued => (pending("queued"), None),
        Standing::Processing => (pending("processing"), None),
        Standing::Done { outcomes, times } => (done(app, &record, outcomes).await, Some(times)),
        Standing::Failed { failure, times } => (failure.into_response(), times),
    };
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    };
    set(PREDICTION_ID, &record.id.to_string());
    set(MODEL_VERSION, record.model.version.as_str());
    set(MODEL_GENERATION, &record.model.generation.to_string());
    if let Some(times) = times {
        set(SERVER_TIMING, &server_timing(times));
    }
    response
}

fn pending(record: &JobRecord, status: &str, waiting: &Waiting, prefix: &Prefix) -> Response {
    // The middleware adds the prefix to the header.
    let url = prediction_path(record.id);
    let (prediction_id, status, status_url) = (record.id.to_string(), status.to_owned(), prefix.before(&url));
    let body = PendingAnswer { code: 202, response: Pending { prediction_id, status, status_url } };
    let mut response = (StatusCode::ACCEPTED, Json(body)).into_response();
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    for (name, text) in [(LOCATION, &url), (PREFERENCE_APPLIED, &waiting.applied)] {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    }
    response
}

async fn done(app: &App, record: &JobRecord, outcomes: Vec<ImageOutcome>) -> Response {
    let size = answer_size::size_of(&outcomes);
    let reserved = match answer_size::reserve(app, size) {
        Ok(reserved) => reserved,
        Err(failure) => return failure.with_job(record.id).into_response(),
    };
    if size <= answer_size::SMALL {
        return write(record, outcomes, size, reserved);
    }
    // Serializing a megabyte of scores takes as long as many requests: it runs off the async threads.
    let record = record.clone();
    let written = offload(move || write(&record, outcomes, size, reserved)).await;
    written.unwrap_or_else(|error| Failure::internal(error).into_response())
}

/// Serializes an answer of at most so many bytes.
fn write(record: &JobRecord, outcomes: Vec<ImageOutcome>, size: usize, reserved: Reserved) -> Response {
    let results = results(record, outcomes);
    let response = Predictions { model: record.model.name.to_string(), results };
    let mut json = Vec::with_capacity(size);
    match serde_json::to_writer(&mut json, &PredictionAnswer { code: 200, response }) {
        Ok(()) => {
            let kind = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
            (kind, answer_size::body(json, reserved)).into_response()
        }
        Err(error) => Failure::internal(error).into_response(),
    }
}

/// Returns an entry for each image of a request, in its order.
fn results(record: &JobRecord, outcomes: Vec<ImageOutcome>) -> Vec<ImageResult> {
    let entries = record.image_ids.iter().zip(outcomes).enumerate();
    entries
        .map(|(position, (id, outcome))| ImageResult {
            file_name: record.file_name(position),
            ..result_of(*id, outcome)
        })
        .collect()
}

pub(super) fn result_of(image_id: i64, outcome: ImageOutcome) -> ImageResult {
    let list = |scores: Vec<LabelScore>| scores.into_iter().map(score).collect();
    match outcome {
        ImageOutcome::Classified { best, scores, labels } => ImageResult {
            image_id,
            file_name: None,
            max_score: Some(best.score),
            label: Some(best.label),
            labels: labels.map(list),
            // If scores are requested, there is at least one.
            scores: (!scores.is_empty()).then(|| list(scores)),
            error: None,
        },
        ImageOutcome::Rejected(ImageError { code, detail }) => {
            ImageResult::failed(image_id, ImageProblem { code: code.into(), detail })
        }
    }
}

fn score(LabelScore { label, score }: LabelScore) -> Score {
    Score { label, score }
}

/// Milliseconds, as the header shows them.
fn server_timing(times: StageTimes) -> String {
    let stage = |name: &str, microseconds: u64| {
        format!("{name};dur={}.{:03}", microseconds / 1000, microseconds % 1000)
    };
    [("queue", times.queue), ("decode", times.decode), ("inference", times.inference)]
        .map(|(name, time)| stage(name, time))
        .join(", ")
}

#[cfg(test)]
mod tests {
    use common::messages::ImageErrorCode;

    use super::*;

    #[test]
    fn server_timing_is_in_milliseconds() {
        let times = StageTimes { queue: 1_002, decode: 30, inference: 5_000_000 };
        assert_eq!(server_timing(times), "queue;dur=1.002, decode;dur=0.030, inference;dur=5000.000");
    }

    #[test]
    fn an_entry_has_the_keys_of_its_kind_and_no_others() {
        let best = LabelScore { label: "dog".to_owned(), score: 0.98 };
        let json = |scores, labels| {
            let outcome = ImageOutcome::Classified { best: best.clone(), scores, labels };
            serde_json::to_string(&result_of(3, outcome)).unwrap()
        };
        let entry = r#"{"image_id":3,"max_score":0.98,"label":"dog""#;
        assert_eq!(json(vec![], None), format!("{entry}}}"));
        assert_eq!(
            json(vec![best.clone()], None),
            format!(r#"{entry},"scores":[{{"label":"dog","score":0.98}}]}}"#)
        );
        assert_eq!(json(vec![], Some(vec![])), format!(r#"{entry},"labels":[]}}"#));
        assert_eq!(
            json(vec![best.clone()], Some(vec![best.clone()])),
            format!(
                r#"{entry},"labels":[{{"label":"dog","score":0.98}}],"scores":[{{"label":"dog","score":0.98}}]}}"#
            )
        );
        let error = ImageError::new(ImageErrorCode::Newer("c".to_owned()), "d");
        assert_eq!(
            serde_json::to_string(&result_of(7, ImageOutcome::Rejected(error))).unwrap(),
            r#"{"image_id":7,"error":{"code":"c","detail":"d"}}"#
        );
    }
}
