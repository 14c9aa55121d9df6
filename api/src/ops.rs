//! For those who run it: health and metrics.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use common::fleet::{WorkerReport, WorkerState};
use common::telemetry::api_names;
use serde::Serialize;
use serde_json::json;
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::app::App;
use crate::error::{ApiError, Code};
use crate::fleet::overview::state_name;
use crate::openapi::Problem;

/// How long broker and store have to answer a check. Orchestrators give up after a second or a few.
const CHECK_TIME: Duration = Duration::from_secs(2);

/// This process is alive.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"status": "alive"}))]
pub(crate) struct LiveAnswer {
    /// `alive`.
    status: &'static str,
}

/// Predictions can be answered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"status": "ready", "checks": {"broker": "ok", "store": "ok", "workers": "ok"}}))]
pub(crate) struct ReadyAnswer {
    /// `ready`.
    status: &'static str,
    /// Each check.
    checks: Checks,
}

/// Each check: `ok`, or what is wrong.
#[derive(Debug, Serialize, ToSchema)]
struct Checks {
    /// The broker answers.
    broker: String,
    /// The store answers.
    store: String,
    /// At least one worker takes jobs.
    workers: String,
}

/// Whether this process is alive. Says nothing of broker, store and workers: restarting the API does not
/// mend them.
#[utoipa::path(get, path = "/health/live", tag = "operations", security(()),
    responses((status = 200, description = "It is", body = LiveAnswer)))]
pub(crate) async fn live() -> Json<LiveAnswer> {
    Json(LiveAnswer { status: "alive" })
}

/// Whether predictions can be answered: broker and store answer, and a worker is ready.
#[utoipa::path(get, path = "/health/ready", tag = "operations", security(()),
    responses(
        (status = 200, description = "They can", body = ReadyAnswer),
        (status = 503, description = "They cannot; `checks` tells what is missing", body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Result<Json<ReadyAnswer>, ApiError> {
    let (broker, store, workers) = tokio::join!(
        timeout(CHECK_TIME, app.broker.ping()),
        timeout(CHECK_TIME, app.store.ping()),
        timeout(CHECK_TIME, app.store.workers()),
    );
    let checks = Checks {
        broker: told(broker),
        store: told(store),
        workers: told(workers.map(|reports| reports.map_err(|e| e.to_string()).and_then(any_ready))),
    };
    let all = [("broker", &checks.broker), ("store", &checks.store), ("workers", &checks.workers)];
    let wrong: Vec<String> =
        all.iter().filter(|(_, says)| *says != "ok").map(|(name, says)| format!("{name}: {says}")).collect();
    if wrong.is_empty() && !app.stop.is_cancelled() {
        return Ok(Json(ReadyAnswer { status: "ready", checks }));
    }
    let detail = if wrong.is_empty() { "this process is stopping".to_owned() } else { wrong.join("; ") };
    Err(ApiError::new(Code::NotReady, detail).with("checks", json!(checks)))
}

fn any_ready(workers: Vec<WorkerReport>) -> Result<(), String> {
    let ready = workers.iter().any(|worker| worker.state == WorkerState::Ready);
    if ready { Ok(()) } else { Err(format!("none of {} workers is ready", workers.len())) }
}

fn told<E: std::fmt::Display>(check: Result<Result<(), E>, tokio::time::error::Elapsed>) -> String {
    match check {
        Ok(Ok(())) => "ok".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer in {} seconds", CHECK_TIME.as_secs()),
    }
}

/// Metrics as Prometheus text.
#[utoipa::path(get, path = "/metrics", tag = "operations", security(()),
    responses((status = 200, description = "Prometheus text format, base units", body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let workers = measure(&app).await;
    let text = (app.metrics)() + &worker_series(&workers);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// Measures what is only known when it is asked for. What does not answer is left as it was.
#[expect(clippy::cast_precision_loss, reason = "gauges")]
async fn measure(app: &App) -> Vec<WorkerReport> {
    let (depth, fleet, workers) = tokio::join!(
        timeout(CHECK_TIME, app.broker.depth()),
        timeout(CHECK_TIME, app.store.fleet()),
        timeout(CHECK_TIME, app.store.workers()),
    );
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
        metrics::gauge!(api_names::WORKERS, "state" => state_name(state)).set(count as f64);
    }
    workers
}

/// One series for each worker that is online. Written out here: a recorder would go on showing the
/// workers that have left.
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
