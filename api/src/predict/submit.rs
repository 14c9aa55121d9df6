//! Turns the parts of a request into a durable job: stored in the store, its parts confirmed by the broker.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use common::broker::BrokerError;
use common::ids::{ClientName, JobId, WorkerId};
use common::messages::{Idempotency, JobRecord, Part, PartEnd, PartId, PartResult, Payload, StageTimes};
use common::store::{Acceptance, StoreError, Watch};
use common::telemetry::{api_names, names};
use futures_util::future::join_all;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::job_share::JobShare;
use super::pin::{Asked, Pin, pin_anew};
use super::split::Pieces;
use crate::app::App;
use crate::budget::Reserved;
use crate::failure::{Code, Failure};
use crate::queue_delay::until_there_is_room;
use crate::trace::Trace;

/// How long the first request with an idempotency key may take to queue its parts, before another one with the same key
/// finishes its work. Longer than any call to broker and store takes.
const ORPHANED_AFTER: Duration = Duration::from_secs(30);

/// How long a refusal waits until the refused job is forgotten. It is forgotten in any case once the store is in reach.
const FORGOTTEN_WITHIN: Duration = Duration::from_millis(50);

/// How often the model is chosen again for one job. During a swap the fleet's state changes every few seconds, so a
/// second time is rare.
const CHOICES: usize = 16;

/// The input for a job.
pub(crate) struct Submission {
    /// The images.
    pub pieces: Pieces,
    /// The package that the client requested.
    pub asked: Option<Asked>,
    /// The model that answers, if it is still active.
    pub pin: Pin,
    /// How many scores the client asks for.
    pub top_k: Option<NonZeroU32>,
    /// The client's key.
    pub idempotency: Option<Idempotency>,
    /// Whose request it is.
    pub client: Option<ClientName>,
    /// Ids for logs and traces.
    pub trace: Trace,
    /// The reservation for the images.
    pub reserved: Reserved,
}

/// The submitted job.
pub(crate) struct Submitted {
    /// Watches the job, which may be an earlier one.
    pub watch: Watch,
    /// The client's share, for a new job.
    pub share: Option<JobShare>,
}

/// Submits a job and watches it, or the earlier job with the same idempotency key.
///
/// Runs as a task of its own: a client that disconnects must not leave half a job. Every step is a call to broker or
/// store, and bounded by their contracts.
pub(crate) async fn submit(app: &Arc<App>, submission: Submission) -> Result<Submitted, Failure> {
    let (this, span) = (Arc::clone(app), tracing::Span::current());
    let task = tracing::Instrument::instrument(async move { accept(&this, submission).await }, span);
    let accepted = app.spawn(task).await.map_err(Failure::internal)?;
    accepted.unwrap_or_else(|| Err(Failure::internal("the process ended before the job was accepted")))
}

async fn accept(app: &Arc<App>, submission: Submission) -> Result<Submitted, Failure> {
    let now = app.store.now();
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
        client: submission.client.clone(),
        file_names: submission.pieces.file_names.clone(),
    };
    let watch = app.store.watch(record.id);
    let mut fleet = submission.pin.fleet;
    for _ in 0..CHOICES {
        let accepted = app.store.put_job(&record, fleet).await;
        if let Err(StoreError::Unavailable(_)) = &accepted {
            // It may be stored nevertheless.
            forget(app, record.id);
        }
        match accepted? {
            Acceptance::Accepted => {
                let watch = watch.of_new_job(record.clone());
                let share = Some(enqueue(app, record, submission).await?);
                return Ok(Submitted { watch, share });
            }
            Acceptance::SameRequest(job) => {
                return Ok(Submitted { watch: app.store.watch(job), share: None });
            }
            Acceptance::InProgress(job) => {
                let share = Some(finish_for_another(app, job, submission).await?);
                return Ok(Submitted { watch: app.store.watch(job), share });
            }
            Acceptance::OtherRequest => {
                return Err(Failure::new(
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
    Err(Failure::new(
        Code::StoreUnavailable,
        "the fleet's state changes faster than a job can be accepted, try again",
    )
    .retry_after(Duration::from_secs(1)))
}

fn part_count(pieces: &Pieces) -> u32 {
    let own = usize::from(!pieces.rejected.is_empty());
    u32::try_from(pieces.parts.len() + own).unwrap_or(u32::MAX)
}

/// The job with this key is stored, but not yet known to be queued, which usually takes a moment. If its process died
/// meanwhile, its work is finished here: publishing a part twice does no harm.
async fn finish_for_another(app: &Arc<App>, job: JobId, submission: Submission) -> Result<JobShare, Failure> {
    let busy = || {
        Failure::new(
            Code::IdempotencyKeyBusy,
            "the first request with this Idempotency-Key is still being accepted, send it again in a moment",
        )
        .retry_after(Duration::from_secs(1))
    };
    let Some(found) = app.store.job(job).await? else { return Err(busy()) };
    let orphaned = app.store.now().since(found.record.accepted_at) > ORPHANED_AFTER;
    // After a restart with other limits the parts may differ; then only the deadline ends the job.
    if !orphaned || found.record.parts != part_count(&submission.pieces) {
        return Err(busy());
    }
    tracing::info!(%job, "queueing the rest of a job whose process seems to have died");
    enqueue(app, found.record, submission).await
}

/// Stores the results that are known already, and queues the rest.
async fn enqueue(app: &Arc<App>, record: JobRecord, submission: Submission) -> Result<JobShare, Failure> {
    let (job, model) = (record.id, record.model.clone());
    let (images, rejected) = (record.image_ids.len(), submission.pieces.rejected.len());
    // If the store is out of reach as well, it must not delay the refusal.
    let forgotten = || timeout(FORGOTTEN_WITHIN, forget(app, job));
    let share = match JobShare::of(app, job, record.client.as_ref(), submission.pieces.pixels) {
        Ok(share) => share,
        Err(error) => {
            let _ = forgotten().await;
            return Err(error);
        }
    };
    let queued = try_enqueue(app, &record, submission).await;
    if let Err(error) = queued {
        share.forget();
        let _ = forgotten().await;
        return Err(refusal(app, error).await);
    }
    tracing::debug!(%job, images, rejected, model = %model.name, "job queued");
    let labels = names::of_model(&model.name, &model.version);
    metrics::counter!(api_names::JOBS_ACCEPTED, &labels).increment(1);
    metrics::counter!(api_names::IMAGES_ACCEPTED, &labels).increment((images - rejected) as u64);
    Ok(share)
}

/// A refused job must not become visible. It is forgotten in the background, unless another request with its key was
/// told of it meanwhile. If the store stays out of reach, the job ends at its deadline.
fn forget(app: &Arc<App>, job: JobId) -> JoinHandle<Option<()>> {
    let store = Arc::clone(&app.store);
    app.spawn(async move {
        if let Err(error) = store.withdraw_job(job).await {
            tracing::debug!(%job, %error, "a refused job could not be withdrawn");
        }
    })
}

enum Refused {
    ByBroker(BrokerError),
    ByStore(StoreError),
}

async fn try_enqueue(app: &App, record: &JobRecord, submission: Submission) -> Result<(), Refused> {
    let Submission { pieces, top_k, trace, reserved, .. } = submission;
    let part_of = |(index, payload): (u32, Payload)| Part {
        wire: payload.wire(),
        id: PartId { job: record.id, index },
        model: record.model.clone(),
        accepted_at: record.accepted_at,
        deadline: record.deadline,
        top_k,
        traceparent: Some(trace.traceparent.clone()),
        request_id: Some(trace.request_id.clone()),
        client: record.client.clone(),
        payload,
    };
    if !pieces.rejected.is_empty() {
        // Stored like a worker's result, so that any process can build the answer.
        let index = u32::try_from(pieces.parts.len()).unwrap_or(u32::MAX);
        let result = PartResult {
            end: PartEnd::Done(pieces.rejected),
            worker: WorkerId::from("api".to_owned()),
            times: StageTimes::default(),
        };
        app.store.put_part(PartId { job: record.id, index }, &result).await.map_err(Refused::ByStore)?;
    }
    let publishing = (0..).zip(pieces.parts).map(part_of).map(|part| app.broker.publish(part));
    // Waits for all, also if one fails: the result of a cancelled publish is unknown.
    let published: Result<Vec<()>, BrokerError> = join_all(publishing).await.into_iter().collect();
    published.map_err(Refused::ByBroker)?;
    drop(reserved);
    if record.idempotency.is_some() {
        app.store.confirm_job(record.id).await.map_err(Refused::ByStore)?;
    }
    Ok(())
}

async fn refusal(app: &App, refused: Refused) -> Failure {
    match refused {
        Refused::ByBroker(BrokerError::Full) => {
            metrics::counter!(api_names::REQUESTS_SHED, "reason" => "queue").increment(1);
            let wait = until_there_is_room(app.broker.as_ref(), app.store.as_ref()).await;
            Failure::from(BrokerError::Full).retry_after(wait)
        }
        Refused::ByBroker(error) => error.into(),
        Refused::ByStore(error) => error.into(),
    }
}
