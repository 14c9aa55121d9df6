//! One delivery from the broker's hands to its end: result stored, then acknowledged; or given back.

mod classify;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::broker::{Acknowledge, Broker, Delivery};
use common::ids::WorkerId;
use common::messages::{ImageOutcome, JobFailure, Part, PartEnd, PartResult, StageTimes, Timestamp};
use common::store::{Store, Stored, Wanted};
use common::telemetry::names;
use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::gate::Gate;
use super::patience::ask;
use super::triage::{Triage, triage};
use crate::control::Throughput;
use crate::models::{Models, ModelsError, ServedModel};
use crate::panics;
use crate::pipeline::{Pipeline, microseconds};

/// Deliveries after which a part that no worker seems to be able to do gets an error instead of another
/// worker. With the growing waits before each it takes about half a minute to get there. Below
/// [`super::triage::MAX_ATTEMPTS`].
const MAX_SEARCHES: u32 = 10;

/// What every part needs.
pub(super) struct PartTools {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) store: Arc<dyn Store>,
    pub(super) models: Arc<Models>,
    pub(super) pipeline: Pipeline,
    pub(super) throughput: Arc<Throughput>,
    pub(super) worker: WorkerId,
}

/// Handles deliveries, side by side where it may.
pub(super) struct Handler {
    pub(super) tools: PartTools,
    pub(super) gate: Gate,
    pub(super) stop: CancellationToken,
}

/// How a delivery ends.
enum Verdict {
    /// With this result.
    Store(PartEnd, StageTimes),
    /// Nobody wants it: forget it.
    Drop,
    /// Somebody else, or this worker later, should do it.
    Return {
        /// Why, for the log.
        reason: String,
        /// How long to keep it before.
        after: Duration,
    },
}

impl Verdict {
    fn failed(failure: JobFailure, detail: impl Into<String>) -> Self {
        Self::Store(PartEnd::Failed(failure, detail.into()), StageTimes::default())
    }

    /// Gives it back after a pause.
    fn retry(reason: impl ToString, attempt: u32) -> Self {
        Self::Return { reason: reason.to_string(), after: pause(attempt) }
    }
}

/// How long to keep a part before it is given back, so that another try may fare better: from 0.2 s,
/// twice as long each time, to 5 s.
fn pause(attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(8);
    (Duration::from_millis(200) * 2_u32.pow(doublings)).min(Duration::from_secs(5))
}

impl Handler {
    /// Handles a delivery to its end. Dropped before that, the delivery comes back to a worker.
    pub(super) async fn handle(&self, delivery: Delivery) {
        let Delivery { part, attempt, acknowledge } = delivery;
        let span = tracing::info_span!(
            "part",
            part = %part.id,
            attempt,
            model = %part.model.name,
            request_id = part.request_id.as_deref(),
            trace_id = part.traceparent.as_deref().and_then(trace_id),
        );
        let _held = InFlight::begin();
        let started = Instant::now();
        let end = async {
            if attempt > 1 {
                metrics::counter!(names::REDELIVERIES_TOTAL).increment(1);
            }
            // A panic here is a bug. The part goes back instead of being held until this worker ends.
            let judged = AssertUnwindSafe(self.judge(&part, attempt)).catch_unwind().await;
            let verdict = judged.unwrap_or_else(|panic| {
                let text = panics::text(&*panic).to_owned();
                tracing::error!(panic = text, "handling a part panicked");
                Verdict::retry(format!("the worker panicked: {text}"), attempt)
            });
            let outcome = self.conclude(&part, attempt, verdict, acknowledge).await;
            metrics::counter!(names::PARTS_TOTAL, names::OUTCOME => outcome).increment(1);
            metrics::histogram!(names::PART_SECONDS).record(started.elapsed());
            tracing::debug!(outcome, images = part.images.len(), "part ended");
        };
        end.instrument(span).await;
    }

    async fn judge(&self, part: &Part, attempt: u32) -> Verdict {
        let began = Timestamp::now();
        match triage(part, attempt, began) {
            Triage::Expired => {
                return Verdict::failed(
                    JobFailure::DeadlineExceeded,
                    "the deadline of the prediction passed before a worker took it",
                );
            }
            Triage::Hopeless => return self.put_aside(part, attempt).await,
            Triage::TooNew => {
                let reason = format!("wire version {} is newer than this worker's", part.wire);
                return search_elsewhere(JobFailure::Internal, reason, attempt);
            }
            Triage::Careful | Triage::Fast => {}
        }
        match self.wanted(part).await {
            Ok(Wanted::Yes) => {}
            Ok(Wanted::No) => return Verdict::Drop,
            Err(error) => return Verdict::retry(error, attempt),
        }
        metrics::histogram!(names::QUEUE_WAIT_SECONDS).record(began.since(part.accepted_at));
        let model = match self.tools.models.get(&part.model).await {
            Ok(model) => model,
            Err(error @ ModelsError::WrongVersion { .. }) => {
                return search_elsewhere(JobFailure::ModelUnavailable, error, attempt);
            }
            Err(error @ (ModelsError::Unservable { .. } | ModelsError::Unavailable(_))) => {
                return Verdict::failed(JobFailure::ModelUnavailable, error.to_string());
            }
        };
        let verdict = if attempt > 1 {
            self.carefully(part, attempt, &model).await
        } else {
            let _pass = self.gate.beside_others().await;
            self.at_once(part, &model).await
        };
        match verdict {
            Verdict::Store(end, times) => {
                let queue = microseconds(began.since(part.accepted_at));
                Verdict::Store(end, StageTimes { queue, ..times })
            }
            other @ (Verdict::Drop | Verdict::Return { .. }) => other,
        }
    }

    async fn wanted(&self, part: &Part) -> Result<Wanted, common::store::StoreError> {
        ask(part.deadline, || self.tools.store.begin_part(part.id)).await
    }

    /// Ends a part that kills its workers before they can tell which image does it.
    async fn put_aside(&self, part: &Part, attempt: u32) -> Verdict {
        let reason = format!("it was delivered {attempt} times without a result");
        match self.bury(part.clone(), &reason).await {
            Ok(()) => Verdict::failed(JobFailure::Internal, format!("the part was given up: {reason}")),
            Err(error) => Verdict::retry(error, attempt),
        }
    }

    async fn bury(&self, part: Part, reason: &str) -> Result<(), common::broker::BrokerError> {
        tracing::error!(part = %part.id, images = part.images.len(), reason, "put aside as a dead letter");
        self.tools.broker.bury(part, reason).await?;
        metrics::counter!(names::DEAD_LETTERS_TOTAL).increment(1);
        Ok(())
    }

    /// Does what was decided; returns the outcome for the metrics.
    async fn conclude(
        &self,
        part: &Part,
        attempt: u32,
        verdict: Verdict,
        acknowledge: Box<dyn Acknowledge>,
    ) -> &'static str {
        let (end, times) = match verdict {
            Verdict::Store(end, times) => (end, times),
            Verdict::Drop => {
                acknowledge_quietly(acknowledge).await;
                return "dropped";
            }
            Verdict::Return { reason, after } => {
                self.give_back(&reason, after, acknowledge).await;
                return "returned";
            }
        };
        let result = PartResult { end, worker: self.tools.worker.clone(), times };
        // Past the deadline the job has ended without this result.
        match ask(part.deadline, || self.tools.store.put_part(part.id, &result)).await {
            Ok(stored) => {
                self.count(stored, &result.end);
                acknowledge_quietly(acknowledge).await;
                match result.end {
                    PartEnd::Done(_) => "done",
                    PartEnd::Failed(failure, detail) => {
                        tracing::warn!(?failure, detail, "no image of the part could be tried");
                        "failed"
                    }
                }
            }
            Err(error) => {
                self.give_back(&error.to_string(), pause(attempt), acknowledge).await;
                "returned"
            }
        }
    }

    /// Counts what this worker did and nobody else had done before.
    fn count(&self, stored: Stored, end: &PartEnd) {
        let (Stored::First, PartEnd::Done(outcomes)) = (stored, end) else { return };
        self.tools.throughput.record(outcomes.len() as u64);
        for (_, outcome) in outcomes {
            let code = match outcome {
                ImageOutcome::Classified { .. } => "classified".to_owned(),
                ImageOutcome::Rejected(error) => error.code.clone(),
            };
            metrics::counter!(names::IMAGES_TOTAL, names::OUTCOME => code).increment(1);
        }
    }

    async fn give_back(&self, reason: &str, after: Duration, acknowledge: Box<dyn Acknowledge>) {
        tracing::warn!(reason, "the part goes back to the queue");
        tokio::select! {
            () = tokio::time::sleep(after) => {}
            () = self.stop.cancelled() => {}
        }
        if let Err(error) = acknowledge.requeue().await {
            tracing::debug!(%error, "a part could not be given back, the broker gives it out again by itself");
        }
    }
}

/// Another worker may have what this one lacks; after a while nobody has.
fn search_elsewhere(failure: JobFailure, reason: impl ToString, attempt: u32) -> Verdict {
    if attempt >= MAX_SEARCHES {
        Verdict::failed(failure, reason.to_string())
    } else {
        Verdict::retry(reason, attempt)
    }
}

async fn acknowledge_quietly(acknowledge: Box<dyn Acknowledge>) {
    if let Err(error) = acknowledge.ack().await {
        // The result is stored; a second delivery of the part finds it and changes nothing.
        tracing::debug!(%error, "a part could not be acknowledged");
    }
}

/// The trace id of a W3C `traceparent`: `version-traceid-parentid-flags`.
fn trace_id(traceparent: &str) -> Option<&str> {
    let id = traceparent.split('-').nth(1)?;
    (id.len() == 32 && id.bytes().all(|c| c.is_ascii_hexdigit())).then_some(id)
}

/// Counts a part in this worker's hands for as long as it lives.
struct InFlight;

impl InFlight {
    fn begin() -> Self {
        metrics::gauge!(names::PARTS_IN_FLIGHT).increment(1.0);
        Self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        metrics::gauge!(names::PARTS_IN_FLIGHT).decrement(1.0);
    }
}
