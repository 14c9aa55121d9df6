//! Readiness: whether a prediction would be accepted and answered now.

use std::fmt::Display;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use common::fleet::{FleetState, PreparationState, WorkerReport, WorkerState};
use serde::Deserialize;
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use utoipa::IntoParams;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

use super::CHECK_TIME;
use crate::WorkersAt;
use crate::app::App;
use crate::extract::QueryOf;
use crate::failure::{Code, Failure, without_credentials};
use crate::wanted::{Wanted, wanted};
use crate::wire::health::{ChecksView, ReadyAnswer};

/// How strict the check is.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReadyQuery {
    /// `?strict` also requires a worker that takes jobs. Without it the API of a fleet is ready without workers, so
    /// that a fleet can scale up from zero.
    #[param(schema_with = strict_values)]
    strict: Option<String>,
}

/// The values of `strict`; the value may be omitted.
fn strict_values() -> Object {
    let values = ["", "true", "1", "false", "0"];
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(values)).build()
}

impl ReadyQuery {
    fn is_strict(&self) -> Result<bool, Failure> {
        match self.strict.as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("" | "true" | "1") => Ok(true),
            Some(other) => {
                let shown: String = other.chars().take(64).collect();
                let detail = format!("`strict` is `{shown}`, expected `true`, `false` or nothing");
                Err(Failure::new(Code::InvalidQuery, detail))
            }
        }
    }
}

/// Returns whether a prediction would be accepted and answered now: the broker takes parts, the store writes, and the
/// declared or chosen model is active.
#[utoipa::path(get, path = "/health/ready", operation_id = "read_readiness", tag = "operations", security(()), params(ReadyQuery),
    responses(
        (status = 200, description = "It is", body = ReadyAnswer),
    ))]
pub(crate) async fn ready(
    State(app): State<Arc<App>>,
    QueryOf(query): QueryOf<ReadyQuery>,
) -> Result<Json<ReadyAnswer>, Failure> {
    let strict = query.is_strict()?;
    let checks = look(&app).await;
    let workers_count = match app.workers {
        WorkersAt::Here => true,
        WorkersAt::Elsewhere => strict,
    };
    let counted = |name| name != "workers" || workers_count;
    let missing = checks.by_name().into_iter().filter(|(name, verdict)| counted(*name) && !verdict.is_fine());
    let mut wrong: Vec<String> =
        missing.map(|(name, verdict)| format!("{name}: {}", verdict.text())).collect();
    if app.stop.is_cancelled() {
        wrong.push("this process is stopping".to_owned());
    }
    let checks = checks.view();
    if wrong.is_empty() {
        return Ok(Json(ReadyAnswer { status: "ready".to_owned(), checks }));
    }
    Err(Failure::new(Code::NotReady, wrong.join("; ")).with_checks(checks))
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Ok,
    /// Passed, with a remark.
    Fine(String),
    Wrong(String),
}

impl Verdict {
    /// Returns whether the check passed.
    pub(super) fn is_fine(&self) -> bool {
        match self {
            Self::Ok | Self::Fine(_) => true,
            Self::Wrong(_) => false,
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Ok => "ok",
            Self::Fine(text) | Self::Wrong(text) => text,
        }
    }

    fn of<T, E: Display>(check: Result<Result<T, E>, Elapsed>, judge: impl FnOnce(T) -> Self) -> Self {
        match check {
            Ok(Ok(found)) => judge(found),
            Ok(Err(error)) => Self::Wrong(without_credentials(&error.to_string())),
            Err(_) => Self::Wrong(format!("no answer in {} seconds", CHECK_TIME.as_secs())),
        }
    }
}

/// The results of all checks.
pub(super) struct Checks {
    broker: Verdict,
    store: Verdict,
    model: Verdict,
    workers: Verdict,
}

impl Checks {
    /// Returns each with the name under which answers show it.
    pub(super) fn by_name(&self) -> [(&'static str, &Verdict); 4] {
        [("broker", &self.broker), ("store", &self.store), ("model", &self.model), ("workers", &self.workers)]
    }

    fn view(&self) -> ChecksView {
        let told = |verdict: &Verdict| verdict.text().to_owned();
        ChecksView {
            broker: told(&self.broker),
            store: told(&self.store),
            model: told(&self.model),
            workers: told(&self.workers),
        }
    }
}

/// Runs all checks, within [`CHECK_TIME`].
pub(super) async fn look(app: &App) -> Checks {
    let (broker, store, fleet, workers) = tokio::join!(
        timeout(CHECK_TIME, app.broker.can_publish()),
        timeout(CHECK_TIME, app.store.can_write()),
        timeout(CHECK_TIME, app.store.fleet()),
        timeout(CHECK_TIME, app.store.workers()),
    );
    let reports = workers.as_ref().ok().and_then(|read| read.as_ref().ok()).cloned().unwrap_or_default();
    Checks {
        broker: Verdict::of(broker, |()| Verdict::Ok),
        store: Verdict::of(store, |()| Verdict::Ok),
        model: Verdict::of(fleet, |fleet| model(app, &fleet.value, &reports)),
        workers: Verdict::of(workers, |reports| any_takes_jobs(&reports)),
    }
}

fn model(app: &App, fleet: &FleetState, workers: &[WorkerReport]) -> Verdict {
    match wanted(app.declared.as_ref(), fleet, app.store.now()) {
        Wanted::Active => Verdict::Ok,
        Wanted::Nothing => Verdict::Fine(
            "no model is chosen yet: `PUT /classifier/prediction-service/{model_name}` chooses one"
                .to_owned(),
        ),
        Wanted::Pending(why) => Verdict::Wrong(with_troubles(why, workers)),
    }
}

fn any_takes_jobs(workers: &[WorkerReport]) -> Verdict {
    if workers.iter().any(|worker| worker.state == WorkerState::Ready) {
        return Verdict::Ok;
    }
    let text = match workers.len() {
        0 => "no worker is online".to_owned(),
        1 => "the only worker that is online takes no jobs".to_owned(),
        count => format!("none of the {count} workers that are online takes jobs"),
    };
    Verdict::Wrong(with_troubles(text, workers))
}

/// Adds the reasons why workers take no jobs.
fn with_troubles(text: String, workers: &[WorkerReport]) -> String {
    workers.iter().filter_map(trouble).fold(text, |text, trouble| format!("{text}; {trouble}"))
}

fn trouble(worker: &WorkerReport) -> Option<String> {
    let preparing = worker.preparation.as_ref().and_then(|preparation| match &preparation.state {
        PreparationState::Failed { reason } => Some(reason.clone()),
        PreparationState::Unservable { problems } => Some(problems.join("; ")),
        PreparationState::Loading | PreparationState::Prepared | PreparationState::Unknown => None,
    });
    let trouble = worker.problem.clone().or(preparing)?;
    Some(format!("worker `{}`: {trouble}", worker.id))
}
