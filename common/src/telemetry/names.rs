//! Metrics of a worker.
//!
//! Record with the macros of the `metrics` crate and one of these constants, never with a literal.

use super::metric::metrics_table;
use crate::ids::{ModelName, ModelVersion};

/// Label: the result.
pub const OUTCOME: &str = "outcome";
/// Label: a package's name.
pub const MODEL: &str = "model";
/// Label: a package's version, all 64 digits, as the API's answers have it.
pub const VERSION: &str = "version";
/// Label: the worker's id.
pub const WORKER: &str = "worker";

metrics_table! {
    IMAGES_TOTAL: Counter in Count = "classifier_images_total", [MODEL, VERSION, OUTCOME],
        "Images that ended; the outcome is `classified` or the code of the image's error";
    PARTS_TOTAL: Counter in Count = "classifier_parts_total", [MODEL, VERSION, OUTCOME],
        "Parts that ended: `done`, `dropped` (not wanted any more), `failed` or `returned` (given back to the queue)";
    INFERENCE_SECONDS: Histogram in Seconds = "classifier_inference_seconds", [MODEL, VERSION],
        "One call of the model";
    BATCH_IMAGES: Histogram in Count = "classifier_batch_images", [MODEL, VERSION],
        "Images in one call of the model";
    ENGINE_FAILURES_TOTAL: Counter in Count = "classifier_engine_failures_total", [MODEL, VERSION],
        "Calls of the model that failed; their images are tried again one by one";
    QUEUE_WAIT_SECONDS: Histogram in Seconds = "classifier_queue_wait_seconds", [],
        "From a request's acceptance until a worker starts one of its parts";
    DECODE_SECONDS: Histogram in Seconds = "classifier_decode_seconds", [],
        "Decoding one image";
    PREPROCESS_SECONDS: Histogram in Seconds = "classifier_preprocess_seconds", [],
        "Turning one decoded image into the model's input";
    BATCH_WAIT_SECONDS: Histogram in Seconds = "classifier_batch_wait_seconds", [],
        "One image's wait for its batch to start";
    POSTPROCESS_SECONDS: Histogram in Seconds = "classifier_postprocess_seconds", [],
        "From one image's scores to its labels";
    PART_SECONDS: Histogram in Seconds = "classifier_part_seconds", [],
        "One part, from its delivery until its result is stored";
    REDELIVERIES_TOTAL: Counter in Count = "classifier_redeliveries_total", [],
        "Deliveries that were not a part's first";
    NEWER_PARTS_TOTAL: Counter in Count = "classifier_newer_parts_total", [],
        "Deliveries of parts that a newer release wrote, which go back to the queue";
    CAREFUL_TRIES_TOTAL: Counter in Count = "classifier_careful_tries_total", [],
        "Images tried one by one because their part may have killed a worker";
    DEAD_LETTERS_TOTAL: Counter in Count = "classifier_dead_letters_total", [],
        "Parts and images that became dead letters";
    ENGINE_BUSY: Gauge in Count = "classifier_engine_busy", [],
        "Calls of the model that are running";
    BATCH_QUEUE_IMAGES: Gauge in Count = "classifier_batch_queue_images", [],
        "Images that wait for a batch";
    PARTS_IN_FLIGHT: Gauge in Count = "classifier_parts_in_flight", [],
        "Parts that this worker holds";
    MODELS_LOADED: Gauge in Count = "classifier_models_loaded", [],
        "Models in memory";
    MODEL_GENERATION: Gauge in Count = "classifier_model_generation", [WORKER],
        "The generation that the worker serves";
}

/// The labels [`MODEL`] and [`VERSION`] of a package.
#[must_use]
pub fn of_model(name: &ModelName, version: &ModelVersion) -> [(&'static str, String); 2] {
    [(MODEL, name.as_str().to_owned()), (VERSION, version.as_str().to_owned())]
}
