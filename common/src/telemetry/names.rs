//! The names of all metrics of a worker.
//!
//! Units stand in the names; durations are in seconds. Record with the macros of the `metrics` crate
//! and one of these constants, never with a literal.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

use crate::ids::{ModelName, ModelVersion};

/// Histogram: from a request's acceptance until a worker begins one of its parts.
pub const QUEUE_WAIT_SECONDS: &str = "classifier_queue_wait_seconds";
/// Histogram: decoding one image.
pub const DECODE_SECONDS: &str = "classifier_decode_seconds";
/// Histogram: turning one decoded image into the model's input.
pub const PREPROCESS_SECONDS: &str = "classifier_preprocess_seconds";
/// Histogram: one image's wait for its batch to start.
pub const BATCH_WAIT_SECONDS: &str = "classifier_batch_wait_seconds";
/// Histogram: images in one call of the model, by [`MODEL`] and [`VERSION`].
pub const BATCH_IMAGES: &str = "classifier_batch_images";
/// Histogram: one call of the model, by [`MODEL`] and [`VERSION`].
pub const INFERENCE_SECONDS: &str = "classifier_inference_seconds";
/// Histogram: from one image's scores to its labels.
pub const POSTPROCESS_SECONDS: &str = "classifier_postprocess_seconds";
/// Histogram: one part in a worker, from its delivery until its result is stored.
pub const PART_SECONDS: &str = "classifier_part_seconds";
/// Gauge: always 1; label `version` is the program's.
pub const BUILD_INFO: &str = "classifier_build_info";
/// Counter: images that ended, by [`MODEL`] and [`VERSION`]; label [`OUTCOME`] is `classified` or the code of the
/// image's error.
pub const IMAGES_TOTAL: &str = "classifier_images_total";
/// Counter: parts that a worker ended, by [`MODEL`] and [`VERSION`]; label [`OUTCOME`] is one of `done`, `dropped` (not
/// wanted any more), `failed`, `returned` (given back to the queue).
pub const PARTS_TOTAL: &str = "classifier_parts_total";
/// Counter: deliveries of parts that a newer release wrote, which go back to the queue.
pub const NEWER_PARTS_TOTAL: &str = "classifier_newer_parts_total";
/// Counter: deliveries that were not a part's first.
pub const REDELIVERIES_TOTAL: &str = "classifier_redeliveries_total";
/// Counter: images tried one by one because their part may have killed a worker.
pub const CAREFUL_TRIES_TOTAL: &str = "classifier_careful_tries_total";
/// Counter: parts and images that became dead letters.
pub const DEAD_LETTERS_TOTAL: &str = "classifier_dead_letters_total";
/// Counter: calls of the model that failed, by [`MODEL`] and [`VERSION`]; their images are tried again one by one.
pub const ENGINE_FAILURES_TOTAL: &str = "classifier_engine_failures_total";
/// Gauge: calls of the model that are running.
pub const ENGINE_BUSY: &str = "classifier_engine_busy";
/// Gauge: images that wait for a batch.
pub const BATCH_QUEUE_IMAGES: &str = "classifier_batch_queue_images";
/// Gauge: parts that this worker holds.
pub const PARTS_IN_FLIGHT: &str = "classifier_parts_in_flight";
/// Gauge: models in memory.
pub const MODELS_LOADED: &str = "classifier_models_loaded";
/// Gauge: the generation that a worker serves; label [`WORKER`].
pub const MODEL_GENERATION: &str = "classifier_model_generation";
/// Counter: worker reports that were left out of the fleet's list because they are unreadable, counted at each read; by
/// API and workers.
pub const UNREADABLE_REPORTS_TOTAL: &str = "classifier_unreadable_reports_total";

/// Label: the result.
pub const OUTCOME: &str = "outcome";
/// Label: a package's name.
pub const MODEL: &str = "model";
/// Label: a package's version, all 64 digits, as the API's answers have it.
pub const VERSION: &str = "version";
/// Label: the worker's id.
pub const WORKER: &str = "worker";

/// The labels [`MODEL`] and [`VERSION`] of a package.
#[must_use]
pub fn of_model(name: &ModelName, version: &ModelVersion) -> [(&'static str, String); 2] {
    [(MODEL, name.as_str().to_owned()), (VERSION, version.as_str().to_owned())]
}

/// Describes the metrics to the recorder, for the `# HELP` lines. Call it once the recorder is installed.
pub fn describe_all() {
    let seconds = [
        (QUEUE_WAIT_SECONDS, "From a request's acceptance until a worker begins one of its parts"),
        (DECODE_SECONDS, "Decoding one image"),
        (PREPROCESS_SECONDS, "Turning one decoded image into the model's input"),
        (BATCH_WAIT_SECONDS, "One image's wait for its batch to start"),
        (INFERENCE_SECONDS, "One call of the model"),
        (POSTPROCESS_SECONDS, "From one image's scores to its labels"),
        (PART_SECONDS, "One part in a worker, from its delivery until its result is stored"),
    ];
    for (name, help) in seconds {
        describe_histogram!(name, Unit::Seconds, help);
    }
    describe_histogram!(BATCH_IMAGES, Unit::Count, "Images in one call of the model");
    let counters = [
        (IMAGES_TOTAL, "Images that ended, by outcome"),
        (PARTS_TOTAL, "Parts that a worker ended, by outcome"),
        (NEWER_PARTS_TOTAL, "Deliveries of parts that a newer release wrote"),
        (REDELIVERIES_TOTAL, "Deliveries that were not a part's first"),
        (CAREFUL_TRIES_TOTAL, "Images tried one by one because their part may have killed a worker"),
        (DEAD_LETTERS_TOTAL, "Parts and images put aside for an operator"),
        (ENGINE_FAILURES_TOTAL, "Calls of the model that failed"),
        (UNREADABLE_REPORTS_TOTAL, "Workers' reports that were left out because they could not be read"),
    ];
    for (name, help) in counters {
        describe_counter!(name, Unit::Count, help);
    }
    let gauges = [
        (ENGINE_BUSY, "Calls of the model that run now"),
        (BATCH_QUEUE_IMAGES, "Images that wait for a batch"),
        (PARTS_IN_FLIGHT, "Parts in this worker's hands"),
        (MODELS_LOADED, "Models in memory"),
        (BUILD_INFO, "The program's version, as a label; always 1"),
        (MODEL_GENERATION, "The generation whose model a worker takes as active"),
    ];
    for (name, help) in gauges {
        describe_gauge!(name, Unit::Count, help);
    }
}

/// Starts a worker's counters at 0. Those with a model start when it is loaded or requested.
pub(super) fn begin() {
    for name in [
        NEWER_PARTS_TOTAL,
        REDELIVERIES_TOTAL,
        CAREFUL_TRIES_TOTAL,
        DEAD_LETTERS_TOTAL,
        UNREADABLE_REPORTS_TOTAL,
    ] {
        metrics::counter!(name).absolute(0);
    }
}
