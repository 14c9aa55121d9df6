//! Handles one delivery: stores its result and acknowledges it, or returns it.

mod classify;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::broker::{Acknowledge, Broker, BrokerError, Delivery};
use common::ids::WorkerId;
use common::messages::{ImageOutcome, JobFailure, Part, PartEnd, PartResult, StageTimes};
use common::patience::Backoff;
use common::store::{Store, StoreError, Stored, Wanted};
use common::telemetry::names;
use common::trace::TraceContext;
use futures_util::FutureExt as _;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::gate::Gate;
use super::patience::{PATIENCE, ask};
use super::settle::{acknowledge, requeue};
use super::triage::{Triage, triage};
use super::tries::{Tries, What};
use crate::control::Throughput;
use crate::models::{Models, ModelsError};
use crate::panics;
use crate::pipeline::{Pipeline, microseconds};
use crate::served::ServedModel;

/// The first and the longest pause before a part is returned.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Failed searches by workers after which a part that no worker can do gets an error. With the growing pauses this
/// takes 13 to 26 seconds.
const MAX_SEARCHES: u32 = 10;

/// Workers that may die with a part before they try an image of it, without the first one, which counts nothing. More
/// than for an image: loading a model may take minutes, and a worker may be killed meanwhile for other reasons.
const MAX_DEATHS: u32 = 5;

/// How long a part waits for its model to be loaded. Far longer than a load takes; after it another worker may have
/// more success.
const LOAD_LIMIT: Duration = Duration::from_secs(300);

/// What all parts need.
pub(super) struct PartTools {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) store: Arc<dyn Store>,
    pub(super) models: Arc<Models>,
    pub(super) pipeline: Pipeline,
    pub(super) throughput: Arc<Throughput>,
    pub(super) worker: WorkerId,
    /// How long a part waits for the store.
    pub(super) patience: Duration,
}

/// Handles deliveries, concurrently where allowed.
pub(super) struct Handler {
    pub(super) tools: PartTools,
    pub(super) tries: Tries,
    pub(super) gate: Gate,
    pub(super) stop: CancellationToken,
}

/// How a delivery ends.
enum Verdict {
    /// Store this result.
    Store(PartEnd, StageTimes),
    /// It is not wanted any more: forget it.
    Drop,
    /// Another worker, or this one later, should do it.
    Return {
        /// The reason, for the log.
        reason: String,
        /// How long to hold it before.
        after: Duration,
    },
}

impl Verdict {
    fn failed(failure: JobFailure, detail: impl Into<String>) -> Self {
        Self::Store(PartEnd::Failed(failure, detail.into()), StageTimes::default())
    }

    /// Returns it after a pause.
    fn retry(reason: impl ToString, attempt: u32) -> Self {
        Self::Return { reason: reason.to_string(), after: pause(attempt) }
    }
}

/// The pause before a part is returned, so that another try may succeed.
fn pause(attempt: u32) -> Duration {
    Backoff::new(FIRST_PAUSE, LONGEST_PAUSE).after(attempt.saturating_sub(1)).next_pause()
}

impl Handler {
    /// Handles a delivery to its end. If this is dropped before, the delivery goes back.
    pub(super) async fn handle(&self, delivery: Delivery) {
        let Delivery { part, attempt, acknowledge: hand } = delivery;
        let trace = part.traceparent.as_deref().and_then(TraceContext::parse);
        let span = tracing::info_span!(
            "part",
            part = %part.id,
            attempt,
            model = %part.model.name,
            request_id = part.request_id.as_deref(),
            trace_id = trace.map(|context| context.trace_id),
        );
        let _held = InFlight::begin();
        let started = Instant::now();
        let end = async {
            if attempt > 1 {
                metrics::counter!(names::REDELIVERIES_TOTAL).increment(1);
            }
            // A panic here is a bug. The part goes back instead of being held until this worker ends.
            let judged = AssertUnwindSafe(self.judge(&part, attempt)).catch_unwind().await;
            let verdict = match judged {
                Ok(verdict) => verdict,
                Err(panic) => {
                    let text = panics::text(&*panic).to_owned();
                    tracing::error!(panic = text, "handling a part panicked");
                    let reason = format!("the worker panicked: {text}");
                    self.search_elsewhere(&part, JobFailure::Internal, reason).await
                }
            };
            let outcome = self.conclude(&part, attempt, verdict, hand).await;
            let [model, version] = names::of_model(&part.model.name, &part.model.version);
            let labels = [model, version, (names::OUTCOME, outcome.to_owned())];
            metrics::counter!(names::PARTS_TOTAL, &labels).increment(1);
            metrics::histogram!(names::PART_SECONDS).record(started.elapsed());
            tracing::debug!(outcome, images = part.payload.count(), "part ended");
        };
        end.instrument(span).await;
    }

    async fn judge(&self, part: &Part, attempt: u32) -> Verdict {
        let began = self.tools.store.now();
        let is_careful = match triage(part, attempt, began) {
            Triage::Expired => {
                return Verdict::failed(
                    JobFailure::DeadlineExceeded,
                    "the deadline of the prediction passed before a worker took it",
                );
            }
            Triage::Careful => true,
            Triage::Fast => false,
        };
        match self.wanted(part).await {
            Ok(Wanted::Yes) => {}
            Ok(Wanted::No) => return Verdict::Drop,
            Err(error) => return Verdict::retry(error, attempt),
        }
        metrics::histogram!(names::QUEUE_WAIT_SECONDS).record(began.since(part.accepted_at));
        let model =
            if is_careful { self.model_carefully(part, attempt).await } else { self.model(part).await };
        let verdict = match model {
            Err(verdict) => return verdict,
            Ok(model) if is_careful => self.carefully(part, attempt, &model).await,
            Ok(model) => {
                let _pass = self.gate.beside_others().await;
                self.at_once(part, &model).await
            }
        };
        match verdict {
            Verdict::Store(end, times) => {
                let queue = microseconds(began.since(part.accepted_at));
                Verdict::Store(end, StageTimes { queue, ..times })
            }
            other @ (Verdict::Drop | Verdict::Return { .. }) => other,
        }
    }

    async fn wanted(&self, part: &Part) -> Result<Wanted, StoreError> {
        ask(self.tools.patience, || self.tools.store.begin_part(part.id)).await
    }

    /// Returns the model of a part whose workers may have died before they tried an image.
    async fn model_carefully(&self, part: &Part, attempt: u32) -> Result<Arc<ServedModel>, Verdict> {
        let deaths = match self.tries.begin(part, What::Delivery).await {
            Ok(count) => count - 1,
            Err(error) => return Err(Verdict::retry(error, attempt)),
        };
        let model = if deaths < MAX_DEATHS {
            self.model(part).await
        } else {
            Err(self.put_aside(part, attempt, deaths).await)
        };
        self.tries.take_back(part, What::Delivery).await;
        model
    }

    async fn model(&self, part: &Part) -> Result<Arc<ServedModel>, Verdict> {
        let Ok(model) = timeout(LOAD_LIMIT, self.tools.models.get(&part.model)).await else {
            let reason = format!("its model was not loaded within {LOAD_LIMIT:?}");
            return Err(Verdict::Return { reason, after: Duration::ZERO });
        };
        match model {
            Ok(model) => Ok(model),
            Err(error @ ModelsError::WrongVersion { .. }) => {
                Err(self.search_elsewhere(part, JobFailure::ModelUnavailable, error).await)
            }
            Err(error @ (ModelsError::Unservable { .. } | ModelsError::Unavailable(_))) => {
                Err(Verdict::failed(JobFailure::ModelUnavailable, error.to_string()))
            }
        }
    }

    /// Returns the part for another worker, which may have what this one lacks; after several searches it fails.
    async fn search_elsewhere(&self, part: &Part, failure: JobFailure, reason: impl ToString) -> Verdict {
        match self.tries.begin(part, What::Search).await {
            Ok(searches) if searches >= MAX_SEARCHES => Verdict::failed(failure, reason.to_string()),
            Ok(searches) => Verdict::retry(reason, searches),
            Err(error) => Verdict::retry(error, 1),
        }
    }

    /// Gives up a part that kills its workers before they can tell which image causes it.
    async fn put_aside(&self, part: &Part, attempt: u32, deaths: u32) -> Verdict {
        let reason = format!("{deaths} workers ended before they could try its images");
        match self.dead_letter(part.clone(), &reason).await {
            Ok(()) => Verdict::failed(JobFailure::Internal, format!("the part was given up: {reason}")),
            Err(error) => Verdict::retry(error, attempt),
        }
    }

    async fn dead_letter(&self, part: Part, reason: &str) -> Result<(), BrokerError> {
        let (id, images) = (part.id, part.payload.count());
        let settled = timeout(PATIENCE, self.tools.broker.dead_letter(part, reason)).await;
        match settled
            .unwrap_or_else(|_| Err(BrokerError::Unavailable("it did not answer in time".to_owned())))
        {
            // Dead letters are limited. The client gets its error in any case, and the oldest dead letters show the
            // first cause.
            Err(BrokerError::Full) => {
                tracing::error!(part = %id, images, reason, "given up and not kept: the dead letters are full");
                metrics::counter!(names::DEAD_LETTERS_TOTAL).increment(1);
                return Ok(());
            }
            settled => settled?,
        }
        tracing::error!(part = %id, images, reason, "the part became a dead letter");
        metrics::counter!(names::DEAD_LETTERS_TOTAL).increment(1);
        Ok(())
    }

    /// Carries the verdict out; returns the outcome for the metrics.
    async fn conclude(
        &self,
        part: &Part,
        attempt: u32,
        verdict: Verdict,
        hand: Box<dyn Acknowledge>,
    ) -> &'static str {
        let (end, times) = match verdict {
            Verdict::Store(end, times) => (end, times),
            Verdict::Drop => {
                acknowledge(hand).await;
                return "dropped";
            }
            Verdict::Return { reason, after } => {
                self.give_back(&reason, after, hand).await;
                return "returned";
            }
        };
        let result = PartResult { end, worker: self.tools.worker.clone(), times };
        // After its deadline the job has ended without this result.
        match ask(self.tools.patience, || self.tools.store.put_part(part.id, &result)).await {
            Ok(stored) => {
                self.count(part, stored, &result.end);
                acknowledge(hand).await;
                match result.end {
                    PartEnd::Done(_) => "done",
                    PartEnd::Failed(failure, detail) => {
                        tracing::warn!(?failure, detail, "no image of the part could be tried");
                        "failed"
                    }
                }
            }
            Err(error) => {
                self.give_back(&error.to_string(), pause(attempt), hand).await;
                "returned"
            }
        }
    }

    /// Counts the work of this worker, without what another had done before.
    fn count(&self, part: &Part, stored: Stored, end: &PartEnd) {
        let (Stored::First, PartEnd::Done(outcomes)) = (stored, end) else { return };
        self.tools.throughput.record(outcomes.len() as u64);
        let [model, version] = names::of_model(&part.model.name, &part.model.version);
        for (_, outcome) in outcomes {
            let code = match outcome {
                ImageOutcome::Classified { .. } => "classified".to_owned(),
                ImageOutcome::Rejected(error) => error.code.to_string(),
            };
            let labels = [model.clone(), version.clone(), (names::OUTCOME, code)];
            metrics::counter!(names::IMAGES_TOTAL, &labels).increment(1);
        }
    }

    async fn give_back(&self, reason: &str, after: Duration, hand: Box<dyn Acknowledge>) {
        tracing::warn!(reason, "the part goes back to the queue");
        tokio::select! {
            biased;
            () = tokio::time::sleep(after) => {}
            () = self.stop.cancelled() => {}
        }
        requeue(hand).await;
    }
}

/// Counts a part of this worker during its lifetime.
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
