//! Metrics of the API.

use super::metric::metrics_table;
use super::names::{MODEL, VERSION, WORKER};

/// The limits for which a request is refused: the values of the label `reason`.
pub const SHED_REASONS: [&str; 3] = ["memory", "pixels", "queue"];

metrics_table! {
    HTTP_REQUESTS: Counter in Count = "classifier_http_requests_total", ["route", "method", "status"],
        "Requests answered";
    HTTP_REQUEST_SECONDS: Histogram in Seconds = "classifier_http_request_duration_seconds", ["route", "method"],
        "From the first byte of a request's head to its answer";
    JOBS_ACCEPTED: Counter in Count = "classifier_api_jobs_total", [MODEL, VERSION],
        "Jobs accepted";
    IMAGES_ACCEPTED: Counter in Count = "classifier_api_images_total", [MODEL, VERSION],
        "Images in accepted requests";
    IMAGES_REJECTED: Counter in Count = "classifier_api_images_rejected_total", [],
        "Images rejected before they were queued";
    REQUESTS_SHED: Counter in Count = "classifier_api_requests_shed_total", ["reason"],
        "Requests refused because a limit was reached";
    BYTES_IN_FLIGHT: Gauge in Bytes = "classifier_api_bytes_in_flight", [],
        "Request bytes held in memory now";
    CONNECTIONS: Gauge in Count = "classifier_api_connections", [],
        "Open connections";
    CHECKS: Gauge in Count = "classifier_api_check", ["check"],
        "Each check of `/health/ready`: 1 if it passed";
    QUEUE_PARTS: Gauge in Count = "classifier_queue_parts", [],
        "Parts in the queue";
    DEAD_LETTERS: Gauge in Count = "classifier_dead_letter_parts", [],
        "Dead letters";
    ACTIVE_GENERATION: Gauge in Count = "classifier_active_generation", [],
        "The fleet's active generation";
    WORKERS: Gauge in Count = "classifier_workers", ["state"],
        "Workers";
    WORKER_GENERATION: Gauge in Count = "classifier_worker_generation", [WORKER],
        "The generation that each worker serves";
    WORKER_IMAGES_PER_SECOND: Gauge in Count = "classifier_worker_images_per_second", [WORKER],
        "Images per second over the last ten seconds";
}

/// Begins the counters whose labels have a closed list of values.
pub(super) fn begin_closed() {
    for reason in SHED_REASONS {
        metrics::counter!(REQUESTS_SHED, "reason" => reason).absolute(0);
    }
}
