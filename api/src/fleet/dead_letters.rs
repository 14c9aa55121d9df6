//! Parts that were put aside: listing them, trying them again, letting them go.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use common::broker::{BrokerError, DeadLetter, Exhumed};
use common::messages::{PartId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::auth::Admin;
use crate::error::{ApiError, Code};
use crate::extract::QueryOf;
use crate::openapi::Problem;
use crate::queue_delay::until_there_is_room;

/// Dead letters in one answer.
const MAX_LISTED: usize = 1000;

/// The parts that were put aside.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeadLettersAnswer {
    /// 200.
    code: u16,
    /// Oldest first.
    response: Vec<DeadLetterView>,
}

/// A part that was put aside.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"id": "5f0c1b9e-7d0c-4a53-9f8e-0d6a3f1c2b4d/0", "prediction_id":
    "5f0c1b9e-7d0c-4a53-9f8e-0d6a3f1c2b4d", "positions": [3], "image_bytes": 48211,
    "model": "animals_classifier_v0@9f86d0…", "reason": "a worker died of it 3 times"}))]
struct DeadLetterView {
    /// Names it: the prediction and the number of the part.
    id: String,
    /// The prediction it belongs to.
    prediction_id: String,
    /// Places of its images in the request, from 0.
    positions: Vec<u32>,
    /// Bytes of its images.
    image_bytes: u64,
    /// The model it was for.
    model: String,
    /// Why it was put aside.
    reason: String,
}

/// Which dead letters.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct WhichQuery {
    /// One of them, as listed; all where it is left out.
    #[param(example = "5f0c1b9e-7d0c-4a53-9f8e-0d6a3f1c2b4d/0")]
    id: Option<String>,
}

/// What became of dead letters.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeadLetterCountAnswer {
    /// 200.
    code: u16,
    /// How many.
    response: DeadLetterCount,
}

/// How many dead letters went where.
#[derive(Debug, Default, Serialize, ToSchema)]
struct DeadLetterCount {
    /// Queued again.
    replayed: usize,
    /// Let go: dropped by the operator.
    dropped: usize,
    /// Kept, since their prediction is forgotten and nobody could get the answer.
    forgotten: usize,
}

/// Lists the parts that were put aside because they kept failing.
#[utoipa::path(get, path = "/classifier/dead-letters", tag = "fleet",
    responses(
        (status = 200, description = "Oldest first, at most 1000", body = DeadLettersAnswer),
        (status = 401, description = "No key, or a wrong one", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The broker is out of reach", body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn list(State(app): State<Arc<App>>) -> Result<Json<DeadLettersAnswer>, ApiError> {
    let letters = app.broker.dead_letters(MAX_LISTED).await?;
    Ok(Json(DeadLettersAnswer { code: 200, response: letters.into_iter().map(view).collect() }))
}

/// Queues dead letters again: the named one, or all. The answers of their predictions change with the
/// new results.
#[utoipa::path(post, path = "/classifier/dead-letters/replay", tag = "fleet",
    params(WhichQuery),
    responses(
        (status = 200, description = "What became of them", body = DeadLetterCountAnswer),
        (status = 401, description = "No key, or a wrong one", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key may not change the fleet", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such dead letter", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "The queue is full; those not yet queued are still dead letters", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Broker or store out of reach", body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn replay(
    State(app): State<Arc<App>>,
    _: Admin,
    QueryOf(query): QueryOf<WhichQuery>,
) -> Result<Json<DeadLetterCountAnswer>, ApiError> {
    let exhumed = exhume(&app, query).await?;
    // A task of its own: an operator who hangs up in the middle must not leave letters neither here nor there.
    let count =
        tokio::spawn(async move { replay_all(&app, exhumed).await }).await.map_err(ApiError::internal)??;
    Ok(Json(DeadLetterCountAnswer { code: 200, response: count }))
}

/// Drops dead letters: the named one, or all. Their predictions keep the error they ended with.
#[utoipa::path(delete, path = "/classifier/dead-letters", tag = "fleet",
    params(WhichQuery),
    responses(
        (status = 200, description = "What became of them", body = DeadLetterCountAnswer),
        (status = 401, description = "No key, or a wrong one", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key may not change the fleet", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such dead letter", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The broker is out of reach", body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn drop_letters(
    State(app): State<Arc<App>>,
    _: Admin,
    QueryOf(query): QueryOf<WhichQuery>,
) -> Result<Json<DeadLetterCountAnswer>, ApiError> {
    let mut count = DeadLetterCount::default();
    for letter in exhume(&app, query).await? {
        let id = letter.part.id;
        letter.acknowledge.ack().await?;
        tracing::info!(part = %id, "dead letter dropped");
        count.dropped += 1;
    }
    Ok(Json(DeadLetterCountAnswer { code: 200, response: count }))
}

async fn exhume(app: &App, query: WhichQuery) -> Result<Vec<Exhumed>, ApiError> {
    let Some(text) = query.id else { return Ok(app.broker.exhume(None).await?) };
    let shown: String = text.chars().take(64).collect();
    let unknown = || ApiError::new(Code::UnknownDeadLetter, format!("there is no dead letter `{shown}`"));
    let id = parse_id(&text).ok_or_else(unknown)?;
    let exhumed = app.broker.exhume(Some(id)).await?;
    if exhumed.is_empty() { Err(unknown()) } else { Ok(exhumed) }
}

fn parse_id(text: &str) -> Option<PartId> {
    let (job, index) = text.split_once('/')?;
    Some(PartId { job: job.parse().ok()?, index: index.parse().ok()? })
}

async fn replay_all(app: &App, exhumed: Vec<Exhumed>) -> Result<DeadLetterCount, ApiError> {
    let mut count = DeadLetterCount::default();
    let mut failure = None;
    for letter in exhumed {
        // After one failure the rest go back untried.
        if failure.is_some() {
            put_back(letter).await;
        } else {
            failure = replay_one(app, letter, &mut count).await.err();
        }
    }
    match failure {
        None => Ok(count),
        Some(error) if error.code() == Code::QueueFull => {
            Err(error.retry_after(until_there_is_room(app.broker.as_ref(), app.store.as_ref()).await))
        }
        Some(error) => Err(error),
    }
}

async fn replay_one(app: &App, letter: Exhumed, count: &mut DeadLetterCount) -> Result<(), ApiError> {
    let deadline = Timestamp::now().after(app.config.job_deadline);
    let reopened = match app.store.reopen_part(letter.part.id, deadline).await {
        Ok(reopened) => reopened,
        Err(error) => {
            put_back(letter).await;
            return Err(error.into());
        }
    };
    let Some(id) = reopened else {
        count.forgotten += 1;
        put_back(letter).await;
        return Ok(());
    };
    let mut part = letter.part.clone();
    part.id = id;
    part.deadline = deadline;
    match app.broker.publish(part).await {
        Ok(()) => {
            tracing::info!(part = %id, "dead letter queued again");
            count.replayed += 1;
            Ok(letter.acknowledge.ack().await?)
        }
        Err(error) => {
            put_back(letter).await;
            Err(error.into())
        }
    }
}

/// Back among the dead letters. Should even this fail, the broker does it once it finds out.
async fn put_back(letter: Exhumed) {
    let id = letter.part.id;
    let back: Result<(), BrokerError> = letter.acknowledge.requeue().await;
    if let Err(error) = back {
        tracing::warn!(part = %id, %error, "a dead letter could not be put back");
    }
}

fn view(letter: DeadLetter) -> DeadLetterView {
    DeadLetterView {
        id: letter.id.to_string(),
        prediction_id: letter.id.job.to_string(),
        positions: letter.positions,
        image_bytes: letter.image_bytes,
        model: letter.model,
        reason: letter.reason,
    }
}
