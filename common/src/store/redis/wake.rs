//! Wakes those who wait for jobs: one subscription a process, and a list of who waits here.
//!
//! Messages that are sent while the subscription is away are lost. Whoever waits therefore reads the
//! job again whenever the subscription comes back, and now and then anyway.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use redis::{Client, RedisError};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::{sleep, timeout};

use crate::ids::JobId;

/// Silence after which the subscription is asked whether it lives.
const SILENCE: Duration = Duration::from_secs(10);

/// How long it may take to connect or to answer that.
const ANSWER: Duration = Duration::from_secs(3);

/// Between two attempts to subscribe.
const PAUSE: Duration = Duration::from_millis(100);

/// Who waits for which job in this process.
#[derive(Default)]
pub(super) struct Waiters {
    jobs: Mutex<HashMap<JobId, Arc<Notify>>>,
}

impl Waiters {
    /// Joins those who wait for a job, until dropped.
    pub(super) fn join(&self, job: JobId) -> Waiter<'_> {
        let notify = Arc::clone(self.jobs().entry(job).or_default());
        Waiter { waiters: self, job, notify }
    }

    fn wake(&self, job: JobId) {
        if let Some(notify) = self.jobs().get(&job) {
            notify.notify_waiters();
        }
    }

    fn wake_all(&self) {
        for notify in self.jobs().values() {
            notify.notify_waiters();
        }
    }

    fn jobs(&self) -> MutexGuard<'_, HashMap<JobId, Arc<Notify>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who waits.
pub(super) struct Waiter<'a> {
    waiters: &'a Waiters,
    job: JobId,
    notify: Arc<Notify>,
}

impl Waiter<'_> {
    /// Done when the job may have ended at any time after this call.
    pub(super) fn woken(&self) -> Notified<'_> {
        self.notify.notified()
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut jobs = self.waiters.jobs();
        // The list's handle and this one: nobody else waits, and nobody can join meanwhile.
        if Arc::strong_count(&self.notify) == 2 {
            jobs.remove(&self.job);
        }
    }
}

/// Listens for ended jobs for ever.
pub(super) async fn listen(client: Client, channel: String, waiters: Arc<Waiters>) {
    loop {
        if let Err(error) = subscription(&client, &channel, &waiters).await {
            tracing::debug!("the subscription to ended jobs broke, and is made anew: {error}");
        }
        sleep(PAUSE).await;
    }
}

async fn subscription(client: &Client, channel: &str, waiters: &Waiters) -> Result<(), RedisError> {
    let silent = |_| RedisError::from((redis::ErrorKind::Io, "no answer in time"));
    let mut pubsub = timeout(ANSWER, client.get_async_pubsub()).await.map_err(silent)??;
    timeout(ANSWER, pubsub.subscribe(channel)).await.map_err(silent)??;
    waiters.wake_all();
    let (mut sink, mut messages) = pubsub.split();
    loop {
        match timeout(SILENCE, messages.next()).await {
            Ok(Some(message)) => {
                let text: String = message.get_payload()?;
                if let Ok(job) = text.parse() {
                    waiters.wake(job);
                }
            }
            Ok(None) => return Ok(()),
            Err(_) => {
                timeout(ANSWER, sink.ping::<redis::Value>()).await.map_err(silent)??;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_is_remembered_who_no_longer_waits() {
        let waiters = Waiters::default();
        let job = JobId::random();
        let first = waiters.join(job);
        let second = waiters.join(job);
        drop(first);
        let woken = second.woken();
        waiters.wake(job);
        woken.await;
        drop(second);
        assert!(waiters.jobs().is_empty());
    }
}
