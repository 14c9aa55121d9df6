//! Classifies images, whichever door they came through: makes a job of what a client asks for, and waits for its end. Knows no
//! HTTP.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use common::ids::ClientName;
use common::messages::{Idempotency, Job};
use common::telemetry::api_names;

use super::answer_size;
use super::jobs::wait_for;
use super::pin::{self, Asked};
use super::requested::{RequestedImage, fingerprint};
use super::split::{PartLimits, Pieces, split};
use super::submit::{Submission, Submitted, submit};
use crate::app::App;
use crate::budget::Reserved;
use crate::failure::Failure;
use crate::keys::Caller;
use crate::trace::Trace;

/// What a client asks for.
pub(crate) struct Order {
    /// The images, in the order of their results.
    pub images: Vec<RequestedImage>,
    /// How many of the best labels an image gets as scores; `None` for as many as its package says.
    pub top_k: Option<NonZeroU32>,
    /// The package that is asked for; none for the active one.
    pub model: Option<Asked>,
    /// The client's idempotency key.
    pub key: Option<String>,
    /// Who asks.
    pub caller: Caller,
    /// Ids for logs and traces.
    pub trace: Trace,
    /// How long the client waits.
    pub patience: Duration,
    /// The memory that the images take.
    pub reserved: Reserved,
}

/// Makes a job of the images and waits for its end as long as the client does. Returns the job as it stands then.
///
/// # Errors
/// No job was made, or the failure names the job that goes on.
pub(crate) async fn classify(app: &Arc<App>, order: Order) -> Result<Job, Failure> {
    let Order { images, top_k, model, key, caller, trace, patience, reserved } = order;
    let name = model.as_ref().map(|asked| asked.model.as_str());
    let idempotency = key.map(|key| Idempotency {
        key: key_of_client(&key, caller.client.as_ref()),
        request: fingerprint(&images, top_k, name),
    });
    let limits = PartLimits { max_images: app.config.part_max_images, max_bytes: app.config.part_max_bytes };
    let pieces = split(images, limits);
    count_rejected(&pieces);
    let pin = pin::pin(app, model.as_ref()).await?;
    if let Some(images) = pieces.all_rejected() {
        return Err(Failure::nothing_classified(images));
    }
    answer_size::check(app, &pin.model, pieces.image_ids.len(), top_k).await?;
    let client = caller.client;
    let submission = Submission { pieces, asked: model, pin, top_k, idempotency, client, trace, reserved };
    let Submitted { watch, mut share } = submit(app, submission).await?;
    let job = watch.job();
    let found = wait_for(app, watch, patience).await.map_err(|failure| failure.with_job(job))?;
    app.answered.note(&found);
    if let Some(share) = &mut share {
        share.note(&found);
    }
    Ok(found)
}

/// A key as the store knows it. No header holds a line break, so that no client's key is another's.
fn key_of_client(key: &str, client: Option<&ClientName>) -> String {
    client.map_or_else(|| key.to_owned(), |client| format!("{client}\n{key}"))
}

fn count_rejected(pieces: &Pieces) {
    if !pieces.rejected.is_empty() {
        metrics::counter!(api_names::IMAGES_REJECTED).increment(pieces.rejected.len() as u64);
    }
}
