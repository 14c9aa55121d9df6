//! From pieces to a job that cannot be lost: recorded in the store, its parts confirmed by the broker.

use std::sync::Arc;
use std::time::Duration;

use common::broker::BrokerError;
use common::ids::{JobId, ModelName, WorkerId};
use common::messages::{
    Idempotency, JobRecord, Part, PartEnd, PartId, PartResult, StageTimes, Timestamp, WIRE_VERSION,
};
use common::store::{Acceptance, Watch};
use common::telemetry::api_names;
use futures_util::future::join_all;

use super::pin::{Pin, pin_anew};
use super::split::Pieces;
use crate::app::App;
use crate::budget::Reserved;
use crate::error::{ApiError, Code};
use crate::observe::Trace;
use crate::queue_delay::until_there_is_room;

/// How long the first request with an idempotency key is given to get its parts queued, before another
/// one with the same key finishes its work: longer than any call to broker and store takes.
const ORPHANED_AFTER: Duration = Duration::from_secs(30);

/// Everything that makes a job.
pub(crate) struct Submission {
    /// The images.
    pub pieces: Pieces,
    /// The package that the client asked for.
    pub asked: Option<ModelName>,
    /// The model that answers, if it is still the right one.
    pub pin: Pin,
    /// How many scores the client wants.
    pub top_k: u32,
    /// The client's key.
    pub idempotency: Option<Idempotency>,
    /// Ids for logs and traces.
    pub trace: Trace,
    /// The memory that the images take.
    pub reserved: Reserved,
}

/// Accepts a job and watches it, or the earlier job with the same idempotency key.
///
/// Runs in a task of its own: a client that hangs up in the middle must not leave half a job.
pub(crate) async fn submit(app: &Arc<App>, submission: Submission) -> Result<Watch, ApiError> {
    let app = Arc::clone(app);
    let span = tracing::Span::current();
    let task = tracing::Instrument::instrument(async move { accept(&app, submission).await }, span);
    tokio::spawn(task).await.map_err(ApiError::internal)?
}

async fn accept(app: &Arc<App>, submission: Submission) -> Result<Watch, ApiError> {
    let now = Timestamp::now();
    let mut record = JobRecord {
        id: JobId::random(),
        model: submission.pin.model.clone(),
        accepted_at: now,
        deadline: now.after(app.config.job_deadline),
        retention: app.config.job_retention,
        image_ids: submission.pieces.image_ids.clone(),
        parts: part_count(&submission.pieces),
        top_k: submission.top_k,
        idempotency: submission.idempotency.clone(),
    };
    let watch = app.store.watch(record.id);
    let mut fleet = submission.pin.fleet;
    loop {
        match app.store.put_job(&record, fleet).await? {
            Acceptance::Accepted => {
                let watch = watch.of_new_job(record.clone());
                enqueue(app, record, submission).await?;
                return Ok(watch);
            }
            Acceptance::SameRequest(job) => return Ok(app.store.watch(job)),
            Acceptance::InProgress(job) => {
                finish_for_another(app, job, submission).await?;
                return Ok(app.store.watch(job));
            }
            Acceptance::OtherRequest => {
                return Err(ApiError::new(
                    Code::IdempotencyKeyReused,
                    "this Idempotency-Key came with another request before, expected the same request or a \
                     new key",
                ));
            }
            Acceptance::FleetChanged => {
                let Pin { model, fleet: now } = pin_anew(app, submission.asked.as_ref()).await?;
                record.model = model;
                fleet = now;
            }
        }
    }
}

fn part_count(pieces: &Pieces) -> u32 {
    let own = usize::from(!pieces.rejected.is_empty());
    u32::try_from(pieces.parts.len() + own).unwrap_or(u32::MAX)
}

/// The job with this key is recorded, but not yet known to be queued. Usually that takes another moment.
/// If the process that accepted it died in between, its work is finished here: publishing a part twice
/// does no harm.
async fn finish_for_another(app: &App, job: JobId, submission: Submission) -> Result<(), ApiError> {
    let busy = || {
        ApiError::new(
            Code::IdempotencyKeyBusy,
            "the first request with this Idempotency-Key is still being accepted, send it again in a moment",
        )
        .retry_after(Duration::from_secs(1))
    };
    let Some(found) = app.store.job(job).await? else { return Err(busy()) };
    let orphaned = Timestamp::now().since(found.record.accepted_at) > ORPHANED_AFTER;
    // Other limits, after a restart, can give other parts; then only the deadline ends the job.
    if !orphaned || found.record.parts != part_count(&submission.pieces) {
        return Err(busy());
    }
    tracing::info!(%job, "finishing to queue a job whose process seems to have died");
    enqueue(app, found.record, submission).await
}

/// Stores what is known already, queues the rest.
async fn enqueue(app: &App, record: JobRecord, submission: Submission) -> Result<(), ApiError> {
    let job = record.id;
    let (images, rejected) = (record.image_ids.len(), submission.pieces.rejected.len());
    let queued = try_enqueue(app, &record, submission).await;
    if let Err(error) = queued {
        // Nobody may be told of a job that is refused. Best effort: should the store be away as well, the
        // job ends at its deadline.
        if let Err(error) = app.store.cancel_job(job).await {
            tracing::warn!(%job, %error, "a refused job could not be cancelled");
        }
        return Err(refusal(app, error).await);
    }
    metrics::counter!(api_names::JOBS_ACCEPTED).increment(1);
    metrics::counter!(api_names::IMAGES_ACCEPTED).increment((images - rejected) as u64);
    tracing::debug!(%job, images, rejected, model = %record.model.name, "job queued");
    Ok(())
}

enum Refused {
    ByBroker(BrokerError),
    ByStore(common::store::StoreError),
}

async fn try_enqueue(app: &App, record: &JobRecord, submission: Submission) -> Result<(), Refused> {
    let Submission { pieces, top_k, trace, reserved, .. } = submission;
    let part_of = |(index, images)| Part {
        wire: WIRE_VERSION,
        id: PartId { job: record.id, index },
        model: record.model.clone(),
        accepted_at: record.accepted_at,
        deadline: record.deadline,
        top_k,
        traceparent: Some(trace.traceparent.clone()),
        request_id: Some(trace.request_id.clone()),
        images,
    };
    if !pieces.rejected.is_empty() {
        // Stored like a worker's result, so that any process can put the whole answer together.
        let index = u32::try_from(pieces.parts.len()).unwrap_or(u32::MAX);
        let result = PartResult {
            end: PartEnd::Done(pieces.rejected),
            worker: WorkerId::from("api".to_owned()),
            times: StageTimes::default(),
        };
        app.store.put_part(PartId { job: record.id, index }, &result).await.map_err(Refused::ByStore)?;
    }
    let publishing = (0..).zip(pieces.parts).map(part_of).map(|part| app.broker.publish(part));
    // All are awaited, also when one fails: a publish that is dropped half way is of no known outcome.
    let published: Result<Vec<()>, BrokerError> = join_all(publishing).await.into_iter().collect();
    published.map_err(Refused::ByBroker)?;
    drop(reserved);
    if record.idempotency.is_some() {
        app.store.confirm_job(record.id).await.map_err(Refused::ByStore)?;
    }
    Ok(())
}

async fn refusal(app: &App, refused: Refused) -> ApiError {
    match refused {
        Refused::ByBroker(BrokerError::Full) => {
            metrics::counter!(api_names::REQUESTS_SHED, "reason" => "queue").increment(1);
            let wait = until_there_is_room(app.broker.as_ref(), app.store.as_ref()).await;
            ApiError::from(BrokerError::Full).retry_after(wait)
        }
        Refused::ByBroker(error) => error.into(),
        Refused::ByStore(error) => error.into(),
    }
}
