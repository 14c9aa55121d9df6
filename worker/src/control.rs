//! Follows the fleet's wanted state, and reports this worker's progress.
//!
//! With every heartbeat and on every hint a *round* runs: announce (renew the report), look (read the fleet's state),
//! obey (load, switch, drop), and again if that changed the report. The order matters: a coordinator writes its rollout
//! and then reads the reports, and a worker writes its report and then reads the rollout. The later of the two sees the
//! other, so no worker takes jobs unprepared and uncounted.

mod duty;
mod rounds;
mod standing;
mod throughput;

use std::sync::Arc;
use std::time::Duration;

use common::broker::Broker;
use common::ids::WorkerId;
use common::messages::Timestamp;
use common::store::Store;
use tokio::sync::{Mutex, Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::rounds::Rounds;
pub(crate) use self::standing::Taking;
use self::standing::{Standing, queue_problem};
pub use self::throughput::{Rates, Throughput};
use crate::models::Models;

/// What control works with.
pub struct ControlParts {
    /// This worker.
    pub id: WorkerId,
    /// Its host.
    pub host: String,
    /// The source of hints.
    pub broker: Arc<dyn Broker>,
    /// The store with the wanted state.
    pub store: Arc<dyn Store>,
    /// The loaded models.
    pub models: Arc<Models>,
    /// Counts the work; recorded by the intake.
    pub throughput: Arc<Throughput>,
}

/// Timeouts and intervals.
#[derive(Debug, Clone, Copy)]
pub struct ControlTiming {
    /// Interval between two rounds.
    pub heartbeat: Duration,
    /// How long a report lasts: the fleet waits this long for a dead worker. Several heartbeats, so that a slow moment
    /// does not look like a crash.
    pub report_ttl: Duration,
    /// A worker takes no jobs if its last read of the state is older. Between a heartbeat and `report_ttl`.
    pub max_staleness: Duration,
    /// The first pause before the active model is loaded again; it grows with each failure.
    pub retry: Duration,
    /// The longest such pause.
    pub max_retry: Duration,
    /// If a load of the active model takes longer, it is reported as a problem and continues.
    pub load_limit: Duration,
}

impl Default for ControlTiming {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(1),
            report_ttl: Duration::from_secs(4),
            max_staleness: Duration::from_secs(2),
            retry: Duration::from_secs(1),
            max_retry: Duration::from_secs(15),
            load_limit: Duration::from_secs(300),
        }
    }
}

/// The worker is stopping and takes no more jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the worker is stopping")]
pub struct Stopping;

/// This worker's membership in the fleet. If it is dropped, it reports no more, and is forgotten when its report
/// expires.
pub struct Control {
    shared: Arc<Shared>,
    parts: Arc<ControlParts>,
    timing: ControlTiming,
    admission: watch::Receiver<Admission>,
    end: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
    _end_on_drop: DropGuard,
}

/// Shared between the loop and its owner.
#[derive(Default)]
struct Shared {
    /// Requests a round.
    nudge: Notify,
    standing: Standing,
}

/// Whether jobs may be taken, as of the last round.
#[derive(Debug, Clone)]
enum Admission {
    /// Jobs are not taken, for this reason.
    Closed(String),
    /// Jobs are taken, as of this moment on two clocks of this host: the monotonic one stops while the host is suspended,
    /// the other may be set back. Only differences of each are used, so neither has to be right.
    Open(Instant, Timestamp),
}

impl Control {
    /// Starts the loop.
    #[must_use]
    pub fn start(parts: ControlParts, timing: ControlTiming) -> Arc<Self> {
        let (admission_in, admission) = watch::channel(Admission::Closed("starting".to_owned()));
        let (parts, shared) = (Arc::new(parts), Arc::<Shared>::default());
        let end = CancellationToken::new();
        let (loads_in, loads) = mpsc::unbounded_channel();
        let rounds = Rounds::new(Arc::clone(&parts), timing, Arc::clone(&shared), admission_in, loads_in);
        let (stop, hints_stop) = (end.clone(), end.clone());
        let task =
            tokio::spawn(async move { stop.run_until_cancelled(rounds.run(loads)).await.unwrap_or(()) });
        let hints = listen(Arc::clone(&parts), Arc::clone(&shared), timing.heartbeat);
        tokio::spawn(async move { hints_stop.run_until_cancelled(hints).await });
        Arc::new(Self {
            shared,
            parts,
            timing,
            admission,
            _end_on_drop: end.clone().drop_guard(),
            end,
            task: Mutex::new(Some(task)),
        })
    }

    /// This worker.
    #[must_use]
    pub fn id(&self) -> &WorkerId {
        &self.parts.id
    }

    /// Returns as soon as this worker may take a job: the active model is loaded, and the fleet's state was read no
    /// longer than [`ControlTiming::max_staleness`] ago. So a process that was frozen, or cut off from the store, reads
    /// the state again first. Also returns while no model is active: jobs may name their model.
    ///
    /// # Errors
    /// The worker is stopping.
    pub async fn current(&self) -> Result<(), Stopping> {
        let mut admission = self.admission.clone();
        loop {
            if self.shared.standing.is_stopping() {
                return Err(Stopping);
            }
            match *admission.borrow_and_update() {
                Admission::Open(tick, moment) => {
                    let age = tick.elapsed().max(Timestamp::now().since(moment));
                    if age < self.timing.max_staleness {
                        return Ok(());
                    }
                    self.shared.nudge.notify_one();
                }
                Admission::Closed(_) => {}
            }
            if admission.changed().await.is_err() {
                return Err(Stopping);
            }
        }
    }

    /// Reports that this worker takes no more jobs, and makes [`Self::current`] fail. Loaded models stay for the
    /// current jobs.
    pub fn stopping(&self) {
        self.shared.standing.stop();
        self.shared.nudge.notify_one();
    }

    /// Notes whether the queue delivers parts to this worker, for its reports.
    pub(crate) fn takes(&self, taking: Taking) {
        if self.shared.standing.note_queue(taking) {
            self.shared.nudge.notify_one();
        }
    }

    /// Returns why this worker takes no jobs, in one sentence; `None` if it does. It may first read the fleet's state
    /// and wait for the queue's answer, at most for `limit`.
    pub async fn obstacle(&self, limit: Duration) -> Option<String> {
        let takes = async {
            match self.current().await {
                Ok(()) => self.shared.standing.queue_answers().await,
                Err(Stopping) => Taking::NotYet,
            }
        };
        match timeout(limit, takes).await {
            Ok(Taking::Yes) => None,
            Ok(Taking::NotYet | Taking::Failing(_)) | Err(_) => Some(self.reason()),
        }
    }

    fn reason(&self) -> String {
        let standing = &self.shared.standing;
        if standing.is_stopping() {
            return "stopping".to_owned();
        }
        if let Some(error) = standing.cut_off() {
            return format!("cut off from the store: {error}");
        }
        if let Admission::Closed(reason) = &*self.admission.borrow() {
            return reason.clone();
        }
        match standing.taking() {
            Taking::Yes => "the store does not return the fleet's state".to_owned(),
            Taking::NotYet => "the queue has not answered yet".to_owned(),
            failing @ Taking::Failing(_) => queue_problem(&failing).unwrap_or_default(),
        }
    }

    /// Ends the loop and deletes this worker's report.
    pub async fn stopped(&self) {
        self.stopping();
        self.end.cancel();
        let Some(task) = self.task.lock().await.take() else { return };
        // It fails only on a panic, and then it has ended too. It needs no bound: the loop never blocks its thread.
        let _ = task.await;
        if self.shared.standing.cut_off().is_some() {
            return;
        }
        // The call takes milliseconds, and other processes do not wait for it.
        let removed = timeout(self.timing.heartbeat, self.parts.store.remove_worker(&self.parts.id)).await;
        if !matches!(removed, Ok(Ok(()))) {
            tracing::debug!("the store did not forget this worker; its report expires by itself");
        }
    }
}

/// Turns hints into rounds. A broken listener is replaced, and the state is read in case a hint was missed.
async fn listen(parts: Arc<ControlParts>, shared: Arc<Shared>, pause: Duration) {
    loop {
        match parts.broker.listen().await {
            Ok(mut listener) => {
                shared.nudge.notify_one();
                // Needs no bound: without a hint, the next heartbeat reads the state.
                while listener.next().await.is_ok() {
                    shared.nudge.notify_one();
                }
            }
            Err(error) => {
                tracing::debug!(%error, "no hints are received; the heartbeat reads the state instead")
            }
        }
        sleep(pause).await;
    }
}

#[cfg(test)]
mod tests;
