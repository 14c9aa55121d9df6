//! A job's share of its client's pixel limit, until the job has ended.

use std::sync::Arc;
use std::time::Duration;

use common::ids::{ClientName, JobId};
use common::messages::Job;
use tokio::time::{Instant, sleep};

use crate::app::App;
use crate::failure::Failure;
use crate::shares::Share;

/// Poll interval for a job that no request waits for, beside notifications of its end: the job may have been deleted.
const LOOK: Duration = Duration::from_secs(10);

/// Requests with fewer pixels than this do not count: four megapixels.
const SMALL: u64 = 4_000_000;

/// A job's share until the job has ended, whether or not its client waits for that.
pub(crate) struct JobShare {
    app: Arc<App>,
    job: JobId,
    share: Option<Share>,
}

impl JobShare {
    /// Takes the share of a job with this many pixels.
    ///
    /// # Errors
    /// The client is at its limit.
    pub(crate) fn of(
        app: &Arc<App>,
        job: JobId,
        client: Option<&ClientName>,
        pixels: u64,
    ) -> Result<Self, Failure> {
        let share = (pixels >= SMALL).then(|| app.shares.take(client, pixels)).transpose()?;
        Ok(Self { app: Arc::clone(app), job, share })
    }

    /// Gives the share back: the job does not exist any more.
    pub(crate) fn forget(mut self) {
        self.share = None;
    }

    /// Gives the share back if the job has ended.
    pub(crate) fn note(&mut self, found: &Job) {
        if found.record.id == self.job && found.is_finished() {
            self.share = None;
        }
    }
}

impl Drop for JobShare {
    fn drop(&mut self) {
        if let Some(share) = self.share.take() {
            self.app.spawn(until_over(Arc::clone(&self.app), self.job, share));
        }
    }
}

/// Holds a share until its job has ended or is gone.
async fn until_over(app: Arc<App>, job: JobId, share: Share) {
    let end = Instant::now() + app.config.job_deadline;
    while Instant::now() < end {
        match app.store.wait(app.store.watch(job), LOOK).await {
            Ok(Some(found)) if !found.is_finished() => {}
            Ok(_) => break,
            Err(error) => {
                tracing::debug!(%job, %error, "the state of the job could not be read");
                sleep(LOOK).await;
            }
        }
    }
    drop(share);
}
