//! Lists, replays and drops dead letters.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use common::broker::{BrokerError, DeadLetter, DeadPart, TakenDeadLetter, WhichLetters};
use futures_util::future::join_all;
use serde::Deserialize;
use tokio::time::timeout;
use utoipa::IntoParams;

use crate::app::App;
use crate::auth::Admin;
use crate::extract::{NoQuery, QueryOf};
use crate::failure::{Code, Failure};
use crate::keys::Caller;
use crate::queue_delay::until_there_is_room;
use crate::wire::dead_letters::{DeadLetterCount, DeadLetterCountAnswer, DeadLetterView, DeadLettersAnswer};

/// Timeout for returning all dead letters together.
const PUT_BACK_WITHIN: Duration = Duration::from_secs(10);

/// The id that clients see, and name, for unreadable messages that have none.
const UNIDENTIFIED: &str = "00000000-0000-0000-0000-000000000000/0";

/// The model that clients see for an unreadable message.
const UNREADABLE: &str = "unreadable";

/// Most dead letters in one answer.
const MAX_LISTED: usize = 1000;

/// Which dead letters.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WhichQuery {
    /// One of them, as listed; without it all.
    #[param(example = "5f0c1b9e-7d0c-4a53-9f8e-0d6a3f1c2b4d/0")]
    id: Option<String>,
}

/// Lists the dead letters: parts that kept failing. With an admin key configured, only admins may list them and see
/// all; otherwise clients see their own.
#[utoipa::path(get, path = "/classifier/dead-letters", operation_id = "list_dead_letters", tag = "fleet",
    responses(
        (status = 200, description = "Oldest first, at most 1000", body = DeadLettersAnswer),
    ))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    _: QueryOf<NoQuery>,
) -> Result<Json<DeadLettersAnswer>, Failure> {
    let letters = app.broker.dead_letters(MAX_LISTED).await?;
    let own = letters.into_iter().filter(|letter| looks_after(&caller, letter));
    Ok(Json(DeadLettersAnswer { code: 200, response: own.map(view).collect() }))
}

/// Queues dead letters again: the named one, or all. New results replace the errors in the answers of their
/// predictions.
///
/// If the queue becomes full, those that are not queued yet stay dead letters.
#[utoipa::path(post, path = "/classifier/dead-letters/replay", operation_id = "replay_dead_letters", tag = "fleet",
    params(WhichQuery),
    responses(
        (status = 200, description = "How many were replayed, dropped or kept", body = DeadLetterCountAnswer),
    ))]
pub(crate) async fn replay(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    QueryOf(query): QueryOf<WhichQuery>,
) -> Result<Json<DeadLetterCountAnswer>, Failure> {
    let taken = take_dead_letters(&app, &caller, query).await?;
    tracing::info!(by = %caller, letters = taken.len(), "a replay of dead letters was requested");
    // A separate task: if the operator disconnects, no letter may be lost half way.
    let this = Arc::clone(&app);
    let replayed =
        app.spawn(async move { replay_all(&this, taken).await }).await.map_err(Failure::internal)?;
    let count =
        replayed.unwrap_or_else(|| Err(Failure::internal("the process ended in the middle of a replay")))?;
    Ok(Json(DeadLetterCountAnswer { code: 200, response: count }))
}

/// Drops dead letters: the named one, or all. Their predictions keep their errors.
#[utoipa::path(delete, path = "/classifier/dead-letters", operation_id = "drop_dead_letters", tag = "fleet",
    params(WhichQuery),
    responses(
        (status = 200, description = "How many were replayed, dropped or kept", body = DeadLetterCountAnswer),
    ))]
pub(crate) async fn drop_letters(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    QueryOf(query): QueryOf<WhichQuery>,
) -> Result<Json<DeadLetterCountAnswer>, Failure> {
    let mut count = DeadLetterCount::default();
    for taken in take_dead_letters(&app, &caller, query).await? {
        let id = id_of(&taken.letter);
        taken.acknowledge.ack().await?;
        tracing::info!(by = %caller, part = %id, "dead letter dropped");
        count.dropped += 1;
    }
    Ok(Json(DeadLetterCountAnswer { code: 200, response: count }))
}

/// Takes the caller's dead letters: the named one, or all.
async fn take_dead_letters(
    app: &App,
    caller: &Caller,
    query: WhichQuery,
) -> Result<Vec<TakenDeadLetter>, Failure> {
    let shown: String = query.id.iter().flat_map(|text| text.chars()).take(64).collect();
    let unknown = || Failure::new(Code::UnknownDeadLetter, format!("there is no dead letter `{shown}`"));
    let which = match query.id.as_deref() {
        None => WhichLetters::All,
        Some(UNIDENTIFIED) => WhichLetters::Unidentified,
        Some(text) => WhichLetters::Of(text.parse().map_err(|_| unknown())?),
    };
    let taken = app.broker.take_dead_letters(which).await?;
    let (own, others): (Vec<_>, Vec<_>) =
        taken.into_iter().partition(|taken| looks_after(caller, &taken.letter));
    let _ = timeout(PUT_BACK_WITHIN, join_all(others.into_iter().map(put_back))).await;
    if which != WhichLetters::All && own.is_empty() { Err(unknown()) } else { Ok(own) }
}

/// Unreadable letters belong to all clients: their owner is unknown.
fn looks_after(caller: &Caller, letter: &DeadLetter) -> bool {
    letter.part.as_ref().is_none_or(|part| caller.looks_after(part.client.as_ref()))
}

async fn replay_all(app: &App, taken: Vec<TakenDeadLetter>) -> Result<DeadLetterCount, Failure> {
    let mut count = DeadLetterCount::default();
    let mut failure = None;
    let mut letters = taken.into_iter();
    for letter in letters.by_ref() {
        failure = replay_one(app, letter, &mut count).await.err();
        if failure.is_some() {
            break;
        }
    }
    // After a failure the rest are returned without a try. If that takes too long they are dropped, and the broker
    // returns them.
    let _ = timeout(PUT_BACK_WITHIN, join_all(letters.map(put_back))).await;
    match failure {
        None => Ok(count),
        Some(error) if error.code == Code::QueueFull => {
            Err(error.retry_after(until_there_is_room(app.broker.as_ref(), app.store.as_ref()).await))
        }
        Some(error) => Err(error),
    }
}

async fn replay_one(app: &App, letter: TakenDeadLetter, count: &mut DeadLetterCount) -> Result<(), Failure> {
    let Some(mut part) = letter.part.clone() else {
        count.unreadable += 1;
        put_back(letter).await;
        return Ok(());
    };
    let deadline = app.store.now().after(app.config.job_deadline);
    let reopened = match app.store.reopen_part(part.id, deadline).await {
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

/// Puts a letter back among the dead letters. If that fails, the broker does it later.
async fn put_back(letter: TakenDeadLetter) {
    let id = id_of(&letter.letter);
    let back: Result<(), BrokerError> = letter.acknowledge.requeue().await;
    if let Err(error) = back {
        tracing::warn!(part = %id, %error, "a dead letter could not be returned");
    }
}

/// Returns the id as clients see it.
fn id_of(letter: &DeadLetter) -> String {
    letter.id.map_or_else(|| UNIDENTIFIED.to_owned(), |id| id.to_string())
}

fn view(letter: DeadLetter) -> DeadLetterView {
    let id = id_of(&letter);
    let (positions, model, client) = match letter.part {
        Some(DeadPart { positions, model, client }) => {
            (positions, format!("{}@{}", model.name, model.version), client)
        }
        None => (Vec::new(), UNREADABLE.to_owned(), None),
    };
    DeadLetterView {
        prediction_id: id.split('/').next().unwrap_or_default().to_owned(),
        id,
        positions,
        image_bytes: letter.bytes,
        model,
        reason: letter.reason,
        client: client.map(|client| client.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use common::ids::JobId;
    use common::messages::PartId;

    use super::*;

    #[test]
    fn an_unreadable_letter_has_the_id_that_it_came_with_or_one_of_zeros() {
        let known = PartId { job: JobId::random(), index: 3 };
        for (id, shown) in
            [(Some(known), known.to_string()), (None, "00000000-0000-0000-0000-000000000000/0".to_owned())]
        {
            let seen = view(DeadLetter { id, part: None, bytes: 14, reason: "no part".to_owned() });
            assert_eq!((seen.id, seen.model.as_str(), seen.image_bytes), (shown, "unreadable", 14));
        }
    }
}
