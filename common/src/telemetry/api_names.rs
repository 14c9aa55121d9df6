//! Metrics of the API. Times are seconds, sizes are bytes.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Requests answered, by `route`, `method` and `status`.
pub const HTTP_REQUESTS: &str = "classifier_http_requests_total";
/// Time from the first byte of a request's head to its answer, by `route` and `method`.
pub const HTTP_REQUEST_SECONDS: &str = "classifier_http_request_duration_seconds";
/// Images in accepted requests, by [`MODEL`](super::names::MODEL) and [`VERSION`](super::names::VERSION).
pub const IMAGES_ACCEPTED: &str = "classifier_api_images_total";
/// Images that were rejected before they were queued.
pub const IMAGES_REJECTED: &str = "classifier_api_images_rejected_total";
/// Jobs accepted, by [`MODEL`](super::names::MODEL) and [`VERSION`](super::names::VERSION).
pub const JOBS_ACCEPTED: &str = "classifier_api_jobs_total";
/// Requests refused because a limit was reached; label `reason` is one of [`SHED_REASONS`].
pub const REQUESTS_SHED: &str = "classifier_api_requests_shed_total";
/// Request bytes held in memory now.
pub const BYTES_IN_FLIGHT: &str = "classifier_api_bytes_in_flight";
/// Open connections.
pub const CONNECTIONS: &str = "classifier_api_connections";
/// Parts in the queue.
pub const QUEUE_PARTS: &str = "classifier_queue_parts";
/// Dead letters.
pub const DEAD_LETTERS: &str = "classifier_dead_letter_parts";
/// The fleet's active generation.
pub const ACTIVE_GENERATION: &str = "classifier_active_generation";
/// The generation that each worker serves, by `worker`.
pub const WORKER_GENERATION: &str = "classifier_worker_generation";
/// Images per second of each worker, by `worker`.
pub const WORKER_IMAGES_PER_SECOND: &str = "classifier_worker_images_per_second";
/// Each readiness check, by `check`: 1 if it passed.
pub const CHECKS: &str = "classifier_api_check";
/// Workers, by `state`.
pub const WORKERS: &str = "classifier_workers";

/// The limits for which a request was refused.
pub const SHED_REASONS: [&str; 3] = ["memory", "pixels", "queue"];

/// Starts the API's counters at 0. Those with a model start with its first request.
pub(super) fn begin() {
    metrics::counter!(IMAGES_REJECTED).absolute(0);
    metrics::counter!(super::names::UNREADABLE_REPORTS_TOTAL).absolute(0);
    for reason in SHED_REASONS {
        metrics::counter!(REQUESTS_SHED, "reason" => reason).absolute(0);
    }
}

/// Describes the metrics to the recorder, for the `# HELP` lines. Call it once the recorder is installed.
pub fn describe_all() {
    describe_histogram!(
        HTTP_REQUEST_SECONDS,
        Unit::Seconds,
        "From the first byte of a request's head to its answer, by route and method"
    );
    let counters = [
        (HTTP_REQUESTS, "Requests answered, by route, method and status"),
        (IMAGES_ACCEPTED, "Images in accepted requests"),
        (IMAGES_REJECTED, "Images that were rejected before they were queued"),
        (JOBS_ACCEPTED, "Jobs accepted"),
        (REQUESTS_SHED, "Requests refused because something was full, by reason"),
    ];
    for (name, help) in counters {
        describe_counter!(name, Unit::Count, help);
    }
    describe_gauge!(BYTES_IN_FLIGHT, Unit::Bytes, "Request bytes held in memory now");
    let gauges = [
        (CONNECTIONS, "Open connections"),
        (QUEUE_PARTS, "Parts that wait in the queue"),
        (DEAD_LETTERS, "Parts that were put aside"),
        (ACTIVE_GENERATION, "The fleet's active generation"),
        (CHECKS, "Each check of the readiness, by name: 1 where nothing is wrong"),
        (WORKERS, "Workers, by state"),
    ];
    for (name, help) in gauges {
        describe_gauge!(name, Unit::Count, help);
    }
}
