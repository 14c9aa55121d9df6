//! Jobs that were accepted before: reads them, waits for them, deletes them, and says how one stands. Knows no HTTP.

use std::time::Duration;

use common::ids::JobId;
use common::messages::{ImageOutcome, Job, JobFailure, JobRecord, JobStatus, StageTimes};
use common::store::Watch;

use crate::app::App;
use crate::failure::{Code, FailedImage, Failure};
use crate::keys::Caller;

/// When to try again after no worker could load the model of a job.
const MODEL_GONE: Duration = Duration::from_secs(5);

/// How a job stands.
pub(crate) enum Standing {
    /// No worker has begun it.
    Queued,
    /// At least one part was begun.
    Processing,
    /// At least one image was classified.
    Done {
        /// One outcome per image of the request.
        outcomes: Vec<ImageOutcome>,
        /// The slowest part's times.
        times: StageTimes,
    },
    /// It ended without a classified image.
    Failed {
        /// Why.
        failure: Failure,
        /// The slowest part's times, if workers answered.
        times: Option<StageTimes>,
    },
}

/// Returns how a job stands.
pub(crate) fn standing(record: &JobRecord, status: JobStatus) -> Standing {
    match status {
        JobStatus::Queued => Standing::Queued,
        JobStatus::Processing => Standing::Processing,
        JobStatus::Done { outcomes, times } => match failed_images(record, &outcomes) {
            Some(images) => {
                Standing::Failed { failure: Failure::nothing_classified(images), times: Some(times) }
            }
            None => Standing::Done { outcomes, times },
        },
        JobStatus::Failed { failure, detail } => {
            Standing::Failed { failure: failure_of(failure, detail), times: None }
        }
    }
}

/// Returns all images with their errors if none was classified.
fn failed_images(record: &JobRecord, outcomes: &[ImageOutcome]) -> Option<Vec<FailedImage>> {
    let images = record.image_ids.iter().zip(outcomes).enumerate();
    images
        .map(|(position, (id, outcome))| match outcome {
            ImageOutcome::Rejected(error) => {
                Some(FailedImage { id: *id, file_name: record.file_name(position), error: error.clone() })
            }
            ImageOutcome::Classified { .. } => None,
        })
        .collect()
}

fn failure_of(failure: JobFailure, detail: String) -> Failure {
    match failure {
        JobFailure::DeadlineExceeded => Failure::new(Code::DeadlineExceeded, detail),
        JobFailure::ModelUnavailable => Failure::new(Code::ModelUnavailable, detail).retry_after(MODEL_GONE),
        JobFailure::Internal | JobFailure::Unknown => {
            tracing::error!(%detail, "a job failed because of a bug");
            Failure::new(Code::Internal, detail)
        }
    }
}

/// Returns a job as it stands once it has ended, or the patience has.
pub(crate) async fn read(app: &App, job: JobId, caller: &Caller, patience: Duration) -> Result<Job, Failure> {
    let watch = app.store.watch(job);
    let found = own(app, job, caller).await?;
    if patience.is_zero() || found.is_finished() { Ok(found) } else { wait_for(app, watch, patience).await }
}

/// Deletes a job: its images that are not classified yet are skipped, its results are forgotten.
pub(crate) async fn delete(app: &App, job: JobId, caller: &Caller) -> Result<(), Failure> {
    own(app, job, caller).await?;
    if app.store.cancel_job(job).await? { Ok(()) } else { Err(Failure::unknown_prediction(job)) }
}

/// Waits for a job, and returns how it stands then.
pub(super) async fn wait_for(app: &App, watch: Watch, patience: Duration) -> Result<Job, Failure> {
    let job = watch.job();
    let found = if patience.is_zero() {
        app.store.job(job).await?
    } else {
        match app.patiently(app.store.wait(watch, patience)).await {
            Some(found) => found?,
            None => app.store.job(job).await?,
        }
    };
    found.ok_or_else(|| Failure::unknown_prediction(job))
}

/// A job as it stands now, if the caller's client made it. To everybody else it is not known.
async fn own(app: &App, job: JobId, caller: &Caller) -> Result<Job, Failure> {
    let found = app.store.job(job).await?.filter(|found| found.record.client == caller.client);
    found.ok_or_else(|| Failure::unknown_prediction(job))
}
