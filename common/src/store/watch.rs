//! The waiters of this process, and what wakes them.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tokio::time::{Instant, timeout_at};

use crate::ids::JobId;
use crate::messages::{Job, JobRecord, PartResult, Progress, Timestamp};

/// The watched jobs.
#[derive(Default)]
pub(super) struct Watched {
    jobs: Mutex<HashMap<JobId, Entry>>,
}

#[derive(Default)]
struct Entry {
    watches: usize,
    wake: Arc<Notify>,
    /// The result of the job's only part, if the message had it.
    result: Option<PartResult>,
}

impl Watched {
    /// Watches a job until dropped.
    pub(super) fn begin(self: &Arc<Self>, job: JobId) -> Watch {
        let mut jobs = self.jobs();
        let entry = jobs.entry(job).or_default();
        entry.watches += 1;
        let wake = Arc::clone(&entry.wake);
        Watch {
            watched: Arc::clone(self),
            job,
            woken: Box::pin(wake.clone().notified_owned()),
            wake,
            record: None,
        }
    }

    /// Wakes the waiters of a job that has ended, perhaps with the result of its only part.
    pub(super) fn wake(&self, job: JobId, result: Option<PartResult>) {
        if let Some(entry) = self.jobs().get_mut(&job) {
            entry.result = result;
            entry.wake.notify_waiters();
        }
    }

    /// Wakes all waiters.
    pub(super) fn wake_all(&self) {
        for entry in self.jobs().values() {
            entry.wake.notify_waiters();
        }
    }

    fn jobs(&self) -> MutexGuard<'_, HashMap<JobId, Entry>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A watch of one job, which misses no event during its lifetime.
pub struct Watch {
    watched: Arc<Watched>,
    job: JobId,
    wake: Arc<Notify>,
    /// Completes once the job may have ended since the watch began.
    woken: Pin<Box<OwnedNotified>>,
    /// The record of a job that was stored after the watch began.
    record: Option<JobRecord>,
}

impl Watch {
    /// Notes that the job was stored with this record after the watch began: it cannot have ended before.
    #[must_use]
    pub fn of_new_job(mut self, record: JobRecord) -> Self {
        self.record = Some(record);
        self
    }

    /// Returns the watched job.
    #[must_use]
    pub fn job(&self) -> JobId {
        self.job
    }

    pub(super) fn is_of_new_job(&self) -> bool {
        self.record.is_some()
    }

    /// Returns the finished job, if its result was published and it is a new one.
    pub(super) fn told(&mut self) -> Option<Job> {
        self.record.as_ref().filter(|record| record.parts == 1)?;
        let result = self.watched.jobs().get(&self.job)?.result.clone()?;
        let record = self.record.take()?;
        let progress =
            Progress { begun: true, parts: 1, deadline: record.deadline, results: vec![(0, result)] };
        Some(Job::assemble(record, progress, Timestamp::now()))
    }

    /// Waits, at most until `moment`, until the job may have ended since the last call, or since the watch began.
    /// Returns whether it may.
    pub(super) async fn woken_until(&mut self, moment: Instant) -> bool {
        let woken = timeout_at(moment, self.woken.as_mut()).await.is_ok();
        if woken {
            // Before the caller reads the job: an end after the read is not missed.
            self.woken.set(Arc::clone(&self.wake).notified_owned());
        }
        woken
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut jobs = self.watched.jobs();
        let Some(entry) = jobs.get_mut(&self.job) else { return };
        entry.watches -= 1;
        if entry.watches == 0 {
            jobs.remove(&self.job);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn what_happens_before_anybody_waits_is_not_missed() {
        let watched = Arc::<Watched>::default();
        let mut watch = watched.begin(JobId::random());
        watched.wake(watch.job(), None);
        assert!(watch.woken_until(Instant::now() + LONG).await);
        assert!(!watch.woken_until(Instant::now() + LONG).await);
        watched.wake_all();
        assert!(watch.woken_until(Instant::now() + LONG).await);
        watched.wake(JobId::random(), None);
        assert!(!watch.woken_until(Instant::now() + LONG).await);
    }

    #[tokio::test]
    async fn nobody_is_remembered_who_no_longer_watches() {
        let watched = Arc::<Watched>::default();
        let job = JobId::random();
        let first = watched.begin(job);
        let mut second = watched.begin(job);
        drop(first);
        watched.wake(job, None);
        assert!(second.woken_until(Instant::now() + LONG).await);
        drop(second);
        assert!(watched.jobs().is_empty());
    }
}
