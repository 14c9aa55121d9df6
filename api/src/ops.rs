//! Health checks and metrics.

pub(crate) mod ready;

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use common::fleet::{WorkerReport, WorkerState};
use common::telemetry::api_names;
use tokio::time::timeout;

use crate::app::App;
use crate::wire::health::LiveAnswer;

/// Timeout for broker and store in health checks and metrics. Orchestrators wait a few seconds at most.
pub(crate) const CHECK_TIME: Duration = Duration::from_secs(2);

/// Returns whether this process is alive. Does not check broker, store and workers: a restart of the API would not fix
/// them.
#[utoipa::path(get, path = "/health/live", operation_id = "read_liveness", tag = "operations", security(()),
    responses((status = 200, description = "It is", body = LiveAnswer)))]
pub(crate) async fn live() -> Json<LiveAnswer> {
    Json(LiveAnswer { status: "alive".to_owned() })
}

/// Returns metrics as Prometheus text.
#[utoipa::path(get, path = "/metrics", operation_id = "read_metrics", tag = "operations", security(()),
    responses((status = 200, description = "Prometheus text format, base units", body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let workers = measure(&app).await;
    let text = (app.metrics)() + &worker_series(&workers);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// Updates the metrics that are read on demand. If a server does not answer, they keep their values.
#[expect(clippy::cast_precision_loss, reason = "gauges")]
async fn measure(app: &App) -> Vec<WorkerReport> {
    let (checks, depth, fleet, workers) = tokio::join!(
        ready::look(app),
        timeout(CHECK_TIME, app.broker.depth()),
        timeout(CHECK_TIME, app.store.fleet()),
        timeout(CHECK_TIME, app.store.workers()),
    );
    for (check, verdict) in checks.by_name() {
        metrics::gauge!(api_names::CHECKS, "check" => check).set(if verdict.is_fine() { 1.0 } else { 0.0 });
    }
    if let Ok(Ok(depth)) = depth {
        metrics::gauge!(api_names::QUEUE_PARTS).set(depth.waiting as f64);
        metrics::gauge!(api_names::DEAD_LETTERS).set(depth.dead_letters as f64);
    }
    if let Ok(Ok(fleet)) = fleet {
        let generation = fleet.value.active.map_or(0, |active| active.generation.0);
        metrics::gauge!(api_names::ACTIVE_GENERATION).set(generation as f64);
    }
    let Ok(Ok(workers)) = workers else { return Vec::new() };
    for state in [WorkerState::Starting, WorkerState::Ready, WorkerState::Stopping] {
        let count = workers.iter().filter(|worker| worker.state == state).count();
        metrics::gauge!(api_names::WORKERS, "state" => state.name()).set(count as f64);
    }
    workers
}

/// One series per online worker. Written out here: a recorder would keep the series of workers that left.
fn worker_series(workers: &[WorkerReport]) -> String {
    let mut text = String::new();
    let mut series = |name: &str, help: &str, value: &dyn Fn(&WorkerReport) -> String| {
        if workers.is_empty() {
            return;
        }
        text += &format!("# HELP {name} {help}\n# TYPE {name} gauge\n");
        for worker in workers {
            let id = worker.id.as_str().replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            text += &format!("{name}{{worker=\"{id}\"}} {}\n", value(worker));
        }
    };
    series(api_names::WORKER_GENERATION, "The generation a worker answers from", &|worker| {
        worker.generation.map_or(0, |generation| generation.0).to_string()
    });
    series(api_names::WORKER_IMAGES_PER_SECOND, "Images a second over the last ten seconds", &|worker| {
        worker.images_per_second.to_string()
    });
    text
}
