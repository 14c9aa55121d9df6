//! The state of the fleet and of rollouts.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use common::broker::QueueDepth;
use common::fleet::{LoadedModel, ModelRole, Phase, PreparationState, Rollout, WorkerReport};
use common::ids::Generation;
use common::messages::{PinnedModel, Timestamp};
use tokio::time::timeout;

use super::unknown_rollout;
use crate::app::App;
use crate::extract::{NoQuery, QueryOf, Segment};
use crate::failure::Failure;
use crate::ops::CHECK_TIME;
use crate::rollout::failure_detail;
use crate::wire::fleet::{
    FleetAnswer, FleetView, LoadedView, ModelView, QueueView, RolloutAnswer, RolloutView, RolloutWorkerView,
    WorkerView,
};

/// Returns the state of the fleet: active model, workers, running rollout.
#[utoipa::path(get, path = "/classifier/prediction-service", operation_id = "read_fleet", tag = "fleet",
    responses(
        (status = 200, description = "How it stands", body = FleetAnswer),
    ))]
pub(crate) async fn fleet(
    State(app): State<Arc<App>>,
    _: QueryOf<NoQuery>,
) -> Result<Json<FleetAnswer>, Failure> {
    // While the broker is out of reach, the rest is still answered.
    let depth = timeout(CHECK_TIME, app.broker.depth());
    let (fleet, workers, depth) = tokio::join!(app.store.fleet(), app.store.workers(), depth);
    let (fleet, workers) = (fleet?.value, workers?);
    let now = app.store.now();
    let running = fleet.rollout.as_ref().filter(|rollout| !rollout.is_ended());
    let response = FleetView {
        model: fleet.active.as_ref().map(|active| active.name.to_string()),
        version: fleet.active.as_ref().map(|active| active.version.to_string()),
        generation: fleet.active.as_ref().map(|active| active.generation.0),
        previous: fleet.previous.as_ref().map(model_view),
        rollout: running.map(|rollout| rollout_view(rollout, &workers, now)),
        queue: depth.ok().and_then(Result::ok).map(queue_view),
        workers: workers.iter().map(|worker| worker_view(worker, now)).collect(),
    };
    Ok(Json(FleetAnswer { code: 200, response }))
}

/// Returns the state of a rollout and of each worker in it.
#[utoipa::path(get, path = "/classifier/prediction-service/rollouts/{generation}", operation_id = "read_rollout", tag = "fleet",
    params(("generation" = u64, Path, description = "The rollout")),
    responses(
        (status = 200, description = "How it stands", body = RolloutAnswer),
    ))]
pub(crate) async fn rollout(
    State(app): State<Arc<App>>,
    generation: Segment,
    _: QueryOf<NoQuery>,
) -> Result<Json<RolloutAnswer>, Failure> {
    let number = generation.number().ok_or_else(|| unknown_rollout(generation.shown()))?;
    let (fleet, workers) = tokio::join!(app.store.fleet(), app.store.workers());
    let (fleet, workers) = (fleet?.value, workers?);
    let rollout = fleet.rollout_of(Generation(number)).ok_or_else(|| unknown_rollout(number))?;
    let response = rollout_view(rollout, &workers, app.store.now());
    Ok(Json(RolloutAnswer { code: 200, response }))
}

fn model_view(model: &PinnedModel) -> ModelView {
    ModelView {
        model: model.name.to_string(),
        version: model.version.to_string(),
        generation: model.generation.0,
    }
}

fn queue_view(depth: QueueDepth) -> QueueView {
    QueueView { waiting: depth.waiting, dead_letters: depth.dead_letters }
}

fn worker_view(worker: &WorkerReport, now: Timestamp) -> WorkerView {
    WorkerView {
        id: worker.id.to_string(),
        host: worker.host.clone(),
        state: worker.state.name().to_owned(),
        device: worker.device.clone(),
        generation: worker.generation.map(|generation| generation.0),
        problem: worker.problem.clone(),
        clock_offset_seconds: worker.clock_offset_ms.map(seconds),
        loaded: worker.loaded.iter().map(loaded_view).collect(),
        images_per_second: worker.images_per_second,
        images_total: worker.images_total,
        uptime_seconds: now.since(worker.started_at).as_secs_f64(),
        last_seen_seconds: now.since(worker.reported_at).as_secs_f64(),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "exact for as long as clocks are off by less than a few thousand years"
)]
fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1000.0
}

fn loaded_view(loaded: &LoadedModel) -> LoadedView {
    let role = match loaded.role {
        ModelRole::Active => "active",
        ModelRole::Prepared => "prepared",
        ModelRole::Draining => "draining",
        ModelRole::Unknown => "unknown",
    };
    LoadedView { model: loaded.name.to_string(), version: loaded.version.to_string(), role: role.to_owned() }
}

fn rollout_view(rollout: &Rollout, workers: &[WorkerReport], now: Timestamp) -> RolloutView {
    let (phase, failure) = match &rollout.phase {
        Phase::Preparing => ("preparing", None),
        Phase::Converging => ("converging", None),
        Phase::Unknown => ("unknown", None),
        Phase::Done => ("done", None),
        Phase::RolledBack { failure } => ("rolled_back", Some(failure_detail(rollout, failure))),
    };
    RolloutView {
        generation: rollout.generation.0,
        model: rollout.target.name.to_string(),
        version: rollout.target.version.to_string(),
        phase: phase.to_owned(),
        failure,
        age_seconds: now.since(rollout.started_at).as_secs_f64(),
        ended: rollout.is_ended(),
        workers: workers.iter().map(|worker| rollout_worker_view(rollout, worker)).collect(),
    }
}

fn rollout_worker_view(rollout: &Rollout, worker: &WorkerReport) -> RolloutWorkerView {
    let preparation = worker.preparation.as_ref().filter(|preparation| preparation.is_for(rollout));
    let (state, detail) = if worker.generation == Some(rollout.generation) {
        ("following", None)
    } else {
        match preparation.map(|preparation| &preparation.state) {
            None => ("waiting", worker.problem.clone()),
            Some(PreparationState::Unknown) => ("unknown", None),
            Some(PreparationState::Loading) => ("loading", None),
            Some(PreparationState::Prepared) => ("prepared", None),
            Some(PreparationState::Unservable { problems }) => ("unservable", Some(problems.join("; "))),
            Some(PreparationState::Failed { reason }) => ("failed", Some(reason.clone())),
        }
    };
    RolloutWorkerView { id: worker.id.to_string(), state: state.to_owned(), detail }
}
