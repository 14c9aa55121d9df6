//! Answers already sent to their client. They expire early: kept as long as unfetched ones, they would fill the store
//! at hundreds of requests a second. Large ones expire earlier: one client could fill it with a few of them a second.

use std::collections::BTreeMap;
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

/// Largest answer that is kept for the whole retention, in bytes. A larger one is kept shorter in proportion, so that
/// answers at a given rate take the same memory whatever their size.
const LARGE: usize = 1 << 20;

/// Shortest retention. The connection may break before the client has read the answer, and it asks again.
const SHORTEST: Duration = Duration::from_secs(2);

/// Bytes of a score in an answer, besides its label.
const SCORE_BYTES: usize = 32;

/// Marks jobs as answered in the store, with a short delay. A job that cannot be marked is kept for its full retention.
pub(crate) struct Answered {
    jobs: Sender<(JobId, Duration)>,
    retention: Duration,
}

impl Answered {
    /// Starts a task that runs as long as this lives.
    pub(crate) fn start(store: Arc<dyn Store>, retention: Duration) -> Self {
        let (jobs, coming) = channel(WAITING);
        tokio::spawn(tell(store, coming));
        Self { jobs, retention }
    }

    /// Notes that the request is about to get the job's answer.
    pub(crate) fn note(&self, job: &Job) {
        if let Some(retention) = retention(job, self.retention) {
            // If the channel is full, the job is kept for its full retention.
            let _ = self.jobs.try_send((job.record.id, retention));
        }
    }
}

/// Returns how long to keep an answer that was sent. `None` if another request with the same key may still need it, or if
/// a replay may still change it.
fn retention(job: &Job, most: Duration) -> Option<Duration> {
    let JobStatus::Done { outcomes, .. } = &job.status else { return None };
    if job.record.idempotency.is_some() {
        return None;
    }
    let bytes =
        outcomes.iter().map(bytes).try_fold(0_usize, |sum, bytes| Some(sum.saturating_add(bytes?)))?;
    let times_larger = u32::try_from(bytes.div_ceil(LARGE).max(1)).unwrap_or(u32::MAX);
    Some(most.min((most / times_larger).max(SHORTEST)))
}

/// Bytes of an image's part of the answer, about; `None` for an image that was not classified.
fn bytes(outcome: &ImageOutcome) -> Option<usize> {
    match outcome {
        ImageOutcome::Classified { scores, labels, .. } => {
            let all = scores.iter().chain(labels.iter().flatten());
            Some(all.map(|score| score.label.len() + SCORE_BYTES).sum())
        }
        ImageOutcome::Rejected(_) => None,
    }
}

/// Ends with the sender. Needs no bound: there may be no answers for any time.
async fn tell(store: Arc<dyn Store>, mut coming: Receiver<(JobId, Duration)>) {
    let mut jobs = Vec::with_capacity(AT_ONCE);
    while coming.recv_many(&mut jobs, AT_ONCE).await > 0 {
        let is_idle = jobs.len() < AT_ONCE;
        let mut by_retention: BTreeMap<Duration, Vec<JobId>> = BTreeMap::new();
        for (job, retention) in jobs.drain(..) {
            by_retention.entry(retention).or_default().push(job);
        }
        for (retention, jobs) in by_retention {
            if let Err(error) = store.forget_after(&jobs, retention).await {
                tracing::debug!(%error, jobs = jobs.len(), "answers could not be marked as sent and are kept longer");
            }
        }
        if is_idle {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use common::messages::LabelScore;
    use testing::samples;

    use super::*;

    const MOST: Duration = Duration::from_secs(60);

    /// A job of one image with so many scores, each of 64 bytes.
    fn job(scores: usize) -> Job {
        let score = LabelScore { label: "l".repeat(64 - SCORE_BYTES), score: 0.5 };
        let best = score.clone();
        let outcome = ImageOutcome::Classified { best, scores: vec![score; scores], labels: None };
        let times = common::messages::StageTimes::default();
        Job { record: samples::record(1), status: JobStatus::Done { outcomes: vec![outcome], times } }
    }

    #[test]
    fn a_large_answer_is_kept_shorter_in_proportion() {
        let mebibyte = LARGE / 64;
        for (scores, seconds) in
            [(0, 60), (mebibyte, 60), (2 * mebibyte, 30), (12 * mebibyte, 5), (64 * mebibyte, 2)]
        {
            assert_eq!(retention(&job(scores), MOST), Some(Duration::from_secs(seconds)), "{scores} scores");
        }
        assert_eq!(retention(&job(64 * mebibyte), Duration::from_secs(1)), Some(Duration::from_secs(1)));
    }

    #[test]
    fn an_answer_that_may_change_or_be_asked_for_again_is_kept() {
        let keyed = Job { record: samples::keyed_record(1, "key", 1), ..job(1) };
        assert_eq!(retention(&keyed, MOST), None);
        assert_eq!(retention(&Job { status: JobStatus::Processing, ..job(1) }, MOST), None);
    }
}
