//! Classifies images, whichever door they came through: from what a client asks for to a job, and to how it stands when the
//! client's patience ends. Knows no HTTP.

use std::sync::Arc;
use std::time::Duration;

use common::ids::{ClientName, JobId};
use common::messages::{Idempotency, ImageOutcome, Job};
use common::store::Watch;
use common::telemetry::api_names;

use super::answer_size;
use super::pin::{self, Asked};
use super::request::{RequestedImage, fingerprint};
use super::split::{PartLimits, Pieces, split};
use super::submit::{Submission, Submitted, submit};
use crate::app::App;
use crate::budget::Reserved;
use crate::error::{ApiError, unknown_prediction};
use crate::keys::Caller;
use crate::observe::Trace;

/// What a client asks for.
pub(crate) struct Order {
    /// The images, in the order of their results.
    pub images: Vec<RequestedImage>,
    /// How many of the best labels an image gets as scores; 0 for as many as its package says.
    pub top_k: u32,
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

/// What came of it.
pub(crate) enum Classified {
    /// A job, as it stood when the patience was over.
    Job(Box<Job>),
    /// No image could be tried. No job was made.
    Nothing(Untried),
}

/// Images of which none could be tried.
pub(crate) struct Untried {
    /// The client's ids.
    pub image_ids: Vec<i64>,
    /// The names of the images' files, where any has one.
    pub file_names: Option<Vec<Option<String>>>,
    /// Why, in the order of the ids.
    pub outcomes: Vec<ImageOutcome>,
}

/// An order that failed.
pub(crate) struct Failed {
    /// Why.
    pub error: ApiError,
    /// The job that goes on all the same, where there is one.
    pub job: Option<JobId>,
}

impl<E: Into<ApiError>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self { error: error.into(), job: None }
    }
}

/// Makes a job of the images and waits for its end as long as the client does.
pub(crate) async fn classify(app: &Arc<App>, order: Order) -> Result<Classified, Failed> {
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
    if let Some(errors) = pieces.all_rejected() {
        let outcomes = errors.into_iter().map(ImageOutcome::Rejected).collect();
        let Pieces { image_ids, file_names, .. } = pieces;
        return Ok(Classified::Nothing(Untried { image_ids, file_names, outcomes }));
    }
    answer_size::check(app, &pin.model, pieces.image_ids.len(), top_k).await?;
    let client = caller.client;
    let submission = Submission { pieces, asked: model, pin, top_k, idempotency, client, trace, reserved };
    let Submitted { watch, mut share } = submit(app, submission).await?;
    let job = watch.job();
    let found = wait_for(app, watch, patience).await.map_err(|error| Failed { error, job: Some(job) })?;
    app.answered.note(&found);
    if let Some(share) = &mut share {
        share.note(&found);
    }
    Ok(Classified::Job(Box::new(found)))
}

/// Waits for a job, and looks how it stands then.
pub(crate) async fn wait_for(app: &App, watch: Watch, patience: Duration) -> Result<Job, ApiError> {
    let job = watch.job();
    let found = if patience.is_zero() {
        app.store.job(job).await?
    } else {
        match app.patiently(app.store.wait(watch, patience)).await {
            Some(found) => found?,
            None => app.store.job(job).await?,
        }
    };
    found.ok_or_else(|| unknown_prediction(job))
}

/// A job as it stands now, if the caller's client made it. To everybody else it is not known.
pub(crate) async fn own(app: &App, job: JobId, caller: &Caller) -> Result<Job, ApiError> {
    let found = app.store.job(job).await?.filter(|found| found.record.client == caller.client);
    found.ok_or_else(|| unknown_prediction(job))
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
