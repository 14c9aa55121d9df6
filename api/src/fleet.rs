//! The model of the fleet: reading, swapping and rolling back.

pub(crate) mod dead_letters;
pub(crate) mod overview;

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header::{LOCATION, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use common::fleet::{Phase, Rollout, RolloutFailure};
use common::ids::Generation;

use crate::app::App;
use crate::auth::Admin;
use crate::extract::{Manner, NoQuery, QueryOf, Segment};
use crate::failure::{AboutRollout, Code, Failure};
use crate::paths::rollout_path;
use crate::rollout::failure_detail;
use crate::rollout::{Begun, Target};
use crate::waiting::PREFERENCE_APPLIED;
use crate::waiting::Waiting;
use crate::wire::fleet::{SwapAnswer, SwapPending, SwapPendingAnswer};

/// How long an order to change the model is valid. If it is not stored by then, it is never begun and its caller gets
/// an error. As long as the default timeout of a call to the store.
const ORDER_STANDS: Duration = Duration::from_secs(10);

/// Swaps the model of the whole fleet.
///
/// Every worker loads the new model beside the old one, checks it and warms it up. When all are ready, it becomes
/// active in one step. If one fails, the old model stays active. Waits until all workers serve the new model. If the store
/// is out of reach, no swap was begun, and none will be.
#[utoipa::path(put, path = "/classifier/prediction-service/{model_name}", operation_id = "swap_model", tag = "fleet",
    params(
        ("model_name" = String, Path, description = "A package in the models folder", example = "animals_classifier_v0",
            min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9_-][A-Za-z0-9_.-]*$"),
        ("Prefer" = Option<String>, Header, description = "`wait=N` waits up to N seconds (default 120), `respond-async` not at all", example = "wait=60"),
    ),
    responses(
        (status = 200, description = "Every worker serves the new model", body = SwapAnswer),
        (status = 202, description = "The swap continues, or the choice is stored while no worker is online", body = SwapPendingAnswer, headers(
            ("Location" = String, description = "The rollout"),
        )),
    ))]
pub(crate) async fn swap(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    name: Segment,
    _: QueryOf<NoQuery>,
    manner: Manner,
) -> Result<Response, Failure> {
    let package = app.disk.open(name.model_name()?).await?;
    let target = Target { name: package.name, version: package.version };
    tracing::info!(by = %caller, model = %target.name, version = target.version.short(), "swap asked for");
    let begun = app.coordinator.swap(target, app.store.now().after(ORDER_STANDS)).await?;
    converge(&app, begun, manner).await
}

/// Swaps back to the previous model, like any other swap.
#[utoipa::path(post, path = "/classifier/prediction-service/rollback", operation_id = "roll_back_model", tag = "fleet",
    params(("Prefer" = Option<String>, Header, description = "As for a swap")),
    responses(
        (status = 200, description = "Every worker serves the previous model", body = SwapAnswer),
        (status = 202, description = "The swap continues, or no worker is online", body = SwapPendingAnswer),
    ))]
pub(crate) async fn rollback(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    _: QueryOf<NoQuery>,
    manner: Manner,
) -> Result<Response, Failure> {
    tracing::info!(by = %caller, "rollback asked for");
    let begun = app.coordinator.rollback(app.store.now().after(ORDER_STANDS)).await?;
    converge(&app, begun, manner).await
}

/// Waits for a rollout and answers with its result.
async fn converge(app: &App, begun: Begun, manner: Manner) -> Result<Response, Failure> {
    let waiting = manner.preference.waiting(app.config.swap_wait, app.config.max_wait);
    let wait = |limit| app.coordinator.wait(begun.id, limit);
    let waited = match app.patiently(wait(waiting.limit)).await {
        Some(found) => found,
        None => wait(Duration::ZERO).await,
    };
    let running = AboutRollout::Running(begun.generation);
    let found = waited.map_err(|error| Failure::from(error).with_rollout(running))?;
    // Another process may have committed it: the next request reads the state again.
    app.coordinator.last_seen().forget();
    let rollout = found.ok_or_else(|| lost(begun.generation))?;
    let status_url = manner.prefix.before(&rollout_path(rollout.generation));
    let pending = |status: &str, detail: &str| {
        let (status, detail) = (status.to_owned(), detail.to_owned());
        let (model, generation) = (rollout.target.name.to_string(), rollout.generation.0);
        pending(SwapPending { model, generation, status, detail, status_url }, &waiting)
    };
    match &rollout.phase {
        Phase::Done if rollout.is_only_recorded() => Ok(pending(
            "done",
            "the choice is stored, no worker is online to load it, workers load it when they start",
        )),
        Phase::Done => {
            let response = format!("Changed model to {}", rollout.target.name);
            Ok(Json(SwapAnswer { code: 200, response }).into_response())
        }
        Phase::Preparing => Ok(pending("preparing", "the workers are loading the model")),
        Phase::Converging | Phase::Unknown => {
            Ok(pending("converging", "the model is active, workers are following"))
        }
        Phase::RolledBack { failure } => Err(rolled_back(&rollout, failure)),
    }
}

fn pending(response: SwapPending, waiting: &Waiting) -> Response {
    // The middleware adds the prefix to the header.
    let url = rollout_path(Generation(response.generation));
    let body = SwapPendingAnswer { code: 202, response };
    let mut response = (StatusCode::ACCEPTED, Json(body)).into_response();
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    for (name, text) in [(LOCATION, &url), (PREFERENCE_APPLIED, &waiting.applied)] {
        if let Ok(value) = HeaderValue::from_str(text) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// Creates the error for a rollout that was rolled back: the fleet still serves the previous model.
fn rolled_back(rollout: &Rollout, failure: &RolloutFailure) -> Failure {
    let name = &rollout.target.name;
    let detail = failure_detail(rollout, failure);
    let error = match failure {
        RolloutFailure::Unservable { problems, .. } => Failure::new(
            Code::UnservableModel,
            format!("package `{name}` cannot be served: {}", problems.join("; ")),
        )
        .with_problems(problems.clone()),
        RolloutFailure::WorkerFailed { .. }
        | RolloutFailure::TimedOut { .. }
        | RolloutFailure::CoordinatorLost
        | RolloutFailure::Unknown => {
            Failure::new(Code::RolloutFailed, detail).retry_after(Duration::from_secs(5))
        }
    };
    error.with_rollout(AboutRollout::RolledBack(rollout.generation))
}

/// Creates the error for a rollout that was begun and is not known any more.
fn lost(generation: Generation) -> Failure {
    let detail = format!(
        "rollout {generation} is not known any more: the store has come back with an older state, so the model that was \
         active then is, try again"
    );
    Failure::new(Code::RolloutFailed, detail).retry_after(Duration::from_secs(1))
}

pub(crate) fn unknown_rollout(generation: impl std::fmt::Display) -> Failure {
    Failure::new(
        Code::UnknownRollout,
        format!("rollout `{generation}` is not known: it never was, or is forgotten by now"),
    )
}
