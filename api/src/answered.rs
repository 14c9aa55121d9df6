//! Answers already sent to their client. They expire early: kept as long as unfetched ones, they would fill the store
//! at hundreds of requests a second.

use std::sync::Arc;
use std::time::Duration;

use common::ids::JobId;
use common::messages::{ImageOutcome, Job, JobStatus};
use common::store::Store;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Most jobs in one call to the store.
const AT_ONCE: usize = 256;

/// Most jobs in the channel while the store is slow: 1 MB of ids.
const WAITING: usize = 1 << 16;

/// Interval between two calls to the store.
const PAUSE: Duration = Duration::from_millis(500);

/// Marks jobs as answered in the store, with a short delay. A job that cannot be marked is kept for its full retention.
pub(crate) struct Answered {
    jobs: Sender<JobId>,
}

impl Answered {
    /// Starts a task that runs as long as this lives.
    pub(crate) fn start(store: Arc<dyn Store>, retention: Duration) -> Self {
        let (jobs, coming) = channel(WAITING);
        tokio::spawn(tell(store, coming, retention));
        Self { jobs }
    }

    /// Notes that the request is about to get the job's answer.
    pub(crate) fn note(&self, job: &Job) {
        if may_be_forgotten(job) {
            // If the channel is full, the job is kept for its full retention.
            let _ = self.jobs.try_send(job.record.id);
        }
    }
}

/// Not if another request with the same key may still need it, or if a replay may still change it.
fn may_be_forgotten(job: &Job) -> bool {
    let classified = |outcome: &ImageOutcome| matches!(outcome, ImageOutcome::Classified { .. });
    job.record.idempotency.is_none()
        && matches!(&job.status, JobStatus::Done { outcomes, .. } if outcomes.iter().all(classified))
}

/// Ends with the sender. Needs no bound: there may be no answers for any time.
async fn tell(store: Arc<dyn Store>, mut coming: Receiver<JobId>, retention: Duration) {
    let mut jobs = Vec::with_capacity(AT_ONCE);
    while coming.recv_many(&mut jobs, AT_ONCE).await > 0 {
        if let Err(error) = store.forget_after(&jobs, retention).await {
            tracing::debug!(%error, jobs = jobs.len(), "answers could not be marked as sent and are kept longer");
        }
        if jobs.len() < AT_ONCE {
            tokio::time::sleep(PAUSE).await;
        }
        jobs.clear();
    }
}
