//! Answers that the request itself was given. Hardly anybody asks for one again, and at hundreds of requests a second
//! they would fill the store's memory for as long as those are kept that somebody still has to come for.

use std::sync::Arc;
use std::time::Duration;

use common::ids::JobId;
use common::messages::{ImageOutcome, Job, JobStatus};
use common::store::Store;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Most jobs that the store is told of at once.
const AT_ONCE: usize = 256;

/// Most jobs that wait for that, while the store is slow: 1 MB of ids.
const WAITING: usize = 1 << 16;

/// Between two times at which the store is told of all there are.
const PAUSE: Duration = Duration::from_millis(500);

/// Tells the store of such jobs, a little later. Those of which it could not be told are kept for their retention.
pub(crate) struct Answered {
    jobs: Sender<JobId>,
}

impl Answered {
    /// Starts a task that lasts as long as this.
    pub(crate) fn start(store: Arc<dyn Store>, retention: Duration) -> Self {
        let (jobs, coming) = channel(WAITING);
        tokio::spawn(tell(store, coming, retention));
        Self { jobs }
    }

    /// The job's answer is about to be given to the request that made it.
    pub(crate) fn note(&self, job: &Job) {
        if may_be_forgotten(job) {
            // One that finds no room is kept for its retention.
            let _ = self.jobs.try_send(job.record.id);
        }
    }
}

/// Not where another request with the same key is still answered with it, nor where a replay may yet mend it.
fn may_be_forgotten(job: &Job) -> bool {
    let classified = |outcome: &ImageOutcome| matches!(outcome, ImageOutcome::Classified { .. });
    job.record.idempotency.is_none()
        && matches!(&job.status, JobStatus::Done { outcomes, .. } if outcomes.iter().all(classified))
}

/// Ends with the sender; until then it waits for answers, of which there need not be any.
async fn tell(store: Arc<dyn Store>, mut coming: Receiver<JobId>, retention: Duration) {
    let mut jobs = Vec::with_capacity(AT_ONCE);
    while coming.recv_many(&mut jobs, AT_ONCE).await > 0 {
        if let Err(error) = store.forget_after(&jobs, retention).await {
            tracing::debug!(%error, jobs = jobs.len(), "answers are kept longer than they have to be");
        }
        if jobs.len() < AT_ONCE {
            tokio::time::sleep(PAUSE).await;
        }
        jobs.clear();
    }
}
