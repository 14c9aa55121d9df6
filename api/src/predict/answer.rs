//! A job as an HTTP answer, the same for the request that created it and for later ones.

use axum::Json;
use axum::http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use common::ids::JobId;
use common::messages::{
    ImageError, ImageOutcome, Job, JobFailure, JobRecord, JobStatus, LabelScore, StageTimes,
};
use common::offload::offload;
use serde_json::Value;

use super::answer_size;
use crate::app::App;
use crate::budget::Reserved;
use crate::error::{ApiError, Code};
use crate::prefix::Prefix;
use crate::waiting::PREFERENCE_APPLIED;
use crate::waiting::Waiting;
use crate::wire::predictions::{
    ImageProblem, ImageResult, Pending, PendingAnswer, PredictionAnswer, Predictions, Score,
};

/// The header with the job's id.
pub(crate) const PREDICTION_ID: HeaderName = HeaderName::from_static("x-prediction-id");
/// The header with the digest of the package that answered.
const MODEL_VERSION: HeaderName = HeaderName::from_static("x-model-version");
/// The header with the generation that was active when the request was accepted.
const MODEL_GENERATION: HeaderName = HeaderName::from_static("x-model-generation");
/// The header with the times of the stages.
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Returns the path of a prediction.
pub(crate) fn path_of(job: JobId) -> String {
    format!("/classifier/predictions/{job}")
}

/// Builds the answer for the state of a job.
pub(crate) async fn answer(app: &App, job: Job, waiting: &Waiting, prefix: &Prefix) -> Response {
    let Job { record, status } = job;
    let pending = |status| pending(&record, status, waiting, prefix);
    let mut response = match status {
        JobStatus::Queued => pending("queued"),
        JobStatus::Processing => pending("processing"),
        JobStatus::Done { outcomes, times } => done(app, &record, outcomes, times).await,
        JobStatus::Failed { failure, detail } => failed(failure, detail).into_response(),
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
    response
}

fn pending(record: &JobRecord, status: &str, waiting: &Waiting, prefix: &Prefix) -> Response {
    // The middleware adds the prefix to the header.
    let url = path_of(record.id);
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

async fn done(app: &App, record: &JobRecord, outcomes: Vec<ImageOutcome>, times: StageTimes) -> Response {
    let size = answer_size::size_of(&outcomes);
    let reserved = match answer_size::reserve(app, size) {
        Ok(reserved) => reserved,
        Err(error) => return still_there(error, record.id).into_response(),
    };
    let mut response = if size <= answer_size::SMALL {
        write(record, outcomes, size, reserved)
    } else {
        // Serializing a megabyte of scores takes as long as many requests: it runs off the async threads.
        let record = record.clone();
        let written = offload(move || write(&record, outcomes, size, reserved)).await;
        written.unwrap_or_else(|error| ApiError::internal(error).into_response())
    };
    if let Ok(value) = HeaderValue::from_str(&server_timing(times)) {
        response.headers_mut().insert(SERVER_TIMING, value);
    }
    response
}

/// Serializes an answer of at most so many bytes.
fn write(record: &JobRecord, outcomes: Vec<ImageOutcome>, size: usize, reserved: Reserved) -> Response {
    let results = results(&record.image_ids, record.file_names.as_deref(), outcomes);
    if results.iter().all(|result| result.error.is_some()) {
        return nothing_classified(results).into_response();
    }
    let response = Predictions { model: record.model.name.to_string(), results };
    let mut json = Vec::with_capacity(size);
    match serde_json::to_writer(&mut json, &PredictionAnswer { code: 200, response }) {
        Ok(()) => {
            let kind = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
            (kind, answer_size::body(json, reserved)).into_response()
        }
        Err(error) => ApiError::internal(error).into_response(),
    }
}

/// Returns an entry for each image of a request, in its order.
pub(crate) fn results(
    ids: &[i64],
    file_names: Option<&[Option<String>]>,
    outcomes: impl IntoIterator<Item = ImageOutcome>,
) -> Vec<ImageResult> {
    let name = |position: usize| file_names.and_then(|names| names.get(position)?.clone());
    let entries = ids.iter().zip(outcomes).enumerate();
    entries
        .map(|(position, (id, outcome))| ImageResult { file_name: name(position), ..result_of(*id, outcome) })
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
        ImageOutcome::Rejected(error) => rejected(image_id, error),
    }
}

/// The entry of an image that could not be classified.
fn rejected(image_id: i64, error: ImageError) -> ImageResult {
    let error = Some(ImageProblem { code: error.code.into(), detail: error.detail });
    ImageResult { image_id, file_name: None, max_score: None, label: None, labels: None, scores: None, error }
}

fn score(LabelScore { label, score }: LabelScore) -> Score {
    Score { label, score }
}

/// Creates the error of a request in which no image could be classified: 413 if all are too large, else 422.
pub(crate) fn nothing_classified(results: Vec<ImageResult>) -> ApiError {
    let too_large = Code::ImageTooLarge.row().code;
    let all_too_large =
        results.iter().all(|result| result.error.as_ref().is_some_and(|error| error.code == too_large));
    let code = if all_too_large { Code::ImageTooLarge } else { Code::NoImageClassified };
    let detail = match results.as_slice() {
        [ImageResult { error: Some(error), .. }] => error.detail.clone(),
        several => format!("none of the {} images could be classified, `results` says why", several.len()),
    };
    match serde_json::to_value(results) {
        Ok(results) => ApiError::new(code, detail).with("results", results),
        Err(error) => ApiError::internal(error),
    }
}

fn failed(failure: JobFailure, detail: String) -> ApiError {
    match failure {
        JobFailure::DeadlineExceeded => ApiError::new(Code::DeadlineExceeded, detail),
        JobFailure::ModelUnavailable => {
            ApiError::new(Code::ModelUnavailable, detail).retry_after(std::time::Duration::from_secs(5))
        }
        JobFailure::Internal | JobFailure::Unknown => {
            tracing::error!(%detail, "a job failed because of a bug");
            ApiError::new(Code::Internal, detail)
        }
    }
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

/// Adds the job's id to an error that is not the job's result: the job goes on and can be polled.
pub(crate) fn still_there(error: ApiError, job: JobId) -> ApiError {
    error
        .location(&path_of(job))
        .header(PREDICTION_ID, &job.to_string())
        .with("prediction_id", Value::from(job.to_string()))
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
            serde_json::to_string(&rejected(7, error)).unwrap(),
            r#"{"image_id":7,"error":{"code":"c","detail":"d"}}"#
        );
    }
}
