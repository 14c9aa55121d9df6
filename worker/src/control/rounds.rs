//! The loop of rounds: announce, look, obey.

use std::sync::Arc;
use std::time::Duration;

use common::broker::Hint;
use common::fleet::{FleetState, WorkerReport};
use common::messages::{PinnedModel, Timestamp};
use common::rollout::{self, Actor, Decision, LeaseWatch};
use common::store::{Revised, StoreError};
use common::telemetry::names;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use super::duty::{Duty, Facts, Load, Purpose, preparing};
use super::standing::queue_problem;
use super::{Admission, ControlParts, ControlTiming, Shared};
use crate::models::{Models, ModelsError};

/// A load that ended.
pub(super) type LoadEnd = (Load, Result<(), ModelsError>);

/// The state of the loop.
pub(super) struct Rounds {
    parts: Arc<ControlParts>,
    timing: ControlTiming,
    shared: Arc<Shared>,
    admission: watch::Sender<Admission>,
    ends: mpsc::UnboundedSender<LoadEnd>,
    duty: Duty,
    watch: LeaseWatch,
    /// When the last successful report was sent.
    reported: Option<Instant>,
    started: Instant,
    /// The same by the store's clock, which is known after its first answer.
    started_at: Timestamp,
}

impl Rounds {
    pub(super) fn new(
        parts: Arc<ControlParts>,
        timing: ControlTiming,
        shared: Arc<Shared>,
        admission: watch::Sender<Admission>,
        ends: mpsc::UnboundedSender<LoadEnd>,
    ) -> Self {
        let duty = Duty::new(timing);
        let (watch, started) = (LeaseWatch::default(), Instant::now());
        let started_at = parts.store.now();
        Self { parts, timing, shared, admission, ends, duty, watch, reported: None, started, started_at }
    }

    pub(super) async fn run(mut self, mut ends: mpsc::UnboundedReceiver<LoadEnd>) {
        loop {
            // A hanging call counts as failed: the next round starts over.
            let round = timeout(self.timing.report_ttl, self.round()).await;
            let round = round.unwrap_or_else(|_| Err(StoreError::Unavailable("no answer".to_owned())));
            let is_news = self.shared.standing.note_store(round.as_ref().err());
            let pause = match round {
                Ok(()) => {
                    if is_news {
                        tracing::info!("the store is back");
                    }
                    self.pause()
                }
                Err(error) => {
                    if is_news {
                        tracing::warn!(%error, "cut off from the fleet: no jobs are taken until the store is back");
                    }
                    self.timing.heartbeat / 4
                }
            };
            tokio::select! {
                biased;
                () = sleep(pause) => {}
                () = self.shared.nudge.notified() => {}
                Some((load, result)) = ends.recv() => self.note(&load, &result),
            }
            while let Ok((load, result)) = ends.try_recv() {
                self.note(&load, &result);
            }
        }
    }

    /// Rounds until there is nothing new to announce, then sets whether jobs are admitted.
    async fn round(&mut self) -> Result<(), StoreError> {
        loop {
            let since = Admission::Open(Instant::now(), Timestamp::now());
            let facts = self.announce().await?;
            let fleet = self.parts.store.fleet().await?;
            let healed = self.heal(&fleet).await?;
            self.obey(&fleet.value);
            if !healed && facts == self.facts() {
                let open = self.duty.may_take_jobs(&facts);
                self.admission.send_replace(if open {
                    since
                } else {
                    Admission::Closed(self.duty.obstacle())
                });
                return Ok(());
            }
        }
    }

    async fn announce(&mut self) -> Result<Facts, StoreError> {
        let sent = Instant::now();
        let facts = self.facts();
        let report = self.report(facts.clone());
        measure(&report);
        self.parts.store.report_worker(&report, self.timing.report_ttl).await?;
        // From the sending of the previous report, which may have arrived at once, to now, the latest moment at which
        // this one arrived.
        if self.reported.is_none() {
            // Not before the store has answered: its clock is known from then on.
            let (now, age) = (self.parts.store.now(), self.started.elapsed());
            self.started_at =
                Timestamp(now.0.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(now.0)));
        }
        if self.reported.is_none_or(|before| before.elapsed() >= self.timing.report_ttl) {
            self.duty.was_forgotten();
        }
        self.reported = Some(sent);
        Ok(facts)
    }

    /// Ends an abandoned rollout, so that a fleet recovers after all its API processes died. Returns whether there was
    /// one, so that the state must be read again.
    async fn heal(&mut self, fleet: &Revised<FleetState>) -> Result<bool, StoreError> {
        let now = self.parts.store.now();
        if !self.watch.is_orphaned(fleet, now, Instant::now().into_std()) {
            return Ok(false);
        }
        let workers = self.parts.store.workers().await?;
        match rollout::step(&fleet.value, &workers, now, Actor::Bystander) {
            Decision::Wait | Decision::Over => Ok(false),
            Decision::Replace(next) => {
                if self.parts.store.replace_fleet(fleet.revision, &next, None).await?.done().is_some() {
                    tracing::warn!(
                        generation = next.generation.0,
                        phase = ?next.rollout.as_ref().map(|rollout| &rollout.phase),
                        "ended an abandoned rollout"
                    );
                    let (broker, hint) =
                        (Arc::clone(&self.parts.broker), Hint::FleetChanged(next.generation));
                    // Only a hint, and the loop must not wait for a broker that is out of reach.
                    tokio::spawn(async move { broker.broadcast(hint).await });
                }
                Ok(true)
            }
        }
    }

    fn obey(&mut self, fleet: &FleetState) {
        let models = &self.parts.models;
        let target = preparing(fleet).filter(|_| !self.is_stopping()).map(|rollout| &rollout.target);
        models.want(fleet.active.as_ref(), target);
        models.tidy();
        let loads = self.duty.follow(fleet, |model| models.holds(model));
        // A stopping worker finishes its jobs and begins no loads.
        for load in loads.into_iter().filter(|_| !self.is_stopping()) {
            let (models, ends) = (Arc::clone(models), self.ends.clone());
            let limit = match load.purpose {
                Purpose::Active => Some(self.timing.load_limit),
                // The rollout has a timeout of its own.
                Purpose::Preparation => None,
            };
            tokio::spawn(async move {
                let result = load_within(limit, &models, &load.model).await;
                // If the loop has ended meanwhile, the result is not needed.
                let _ = ends.send((load, result));
            });
        }
    }

    fn note(&mut self, load: &Load, result: &Result<(), ModelsError>) {
        if let Err(error) = result {
            tracing::warn!(
                model = %load.model.name,
                generation = load.model.generation.0,
                purpose = ?load.purpose,
                %error,
                "a model was not loaded"
            );
        }
        self.duty.ended(load, result);
    }

    /// Until the next heartbeat, or until the active model is loaded again.
    fn pause(&self) -> Duration {
        let next = self.duty.next_try().map(|moment| moment.saturating_duration_since(Instant::now()));
        next.map_or(self.timing.heartbeat, |next| next.min(self.timing.heartbeat))
    }

    fn facts(&self) -> Facts {
        let facts = self.duty.facts(self.is_stopping());
        let problem = facts.problem.or_else(|| queue_problem(&self.shared.standing.taking()));
        Facts { problem, ..facts }
    }

    fn is_stopping(&self) -> bool {
        self.shared.standing.is_stopping()
    }

    fn report(&self, facts: Facts) -> WorkerReport {
        let parts = &self.parts;
        let rates = parts.throughput.rates();
        WorkerReport {
            id: parts.id.clone(),
            host: parts.host.clone(),
            state: facts.state,
            device: parts.models.device(),
            generation: facts.generation,
            loaded: parts.models.loaded(),
            preparation: facts.preparation,
            problem: facts.problem,
            found: facts.found,
            clock_offset_ms: parts.store.clock_offset(),
            images_per_second: rates.images_per_second,
            parts_per_second: rates.parts_per_second,
            images_total: rates.images_total,
            started_at: self.started_at,
            reported_at: parts.store.now(),
        }
    }
}

/// Waits for a load. After its timeout it continues, and the next caller waits for it again.
async fn load_within(
    limit: Option<Duration>,
    models: &Arc<Models>,
    model: &PinnedModel,
) -> Result<(), ModelsError> {
    let load = async { models.load(model).await.map(|_| ()) };
    let Some(limit) = limit else { return load.await };
    let late = |_| {
        let reason = format!("package `{}`: it is not loaded after {limit:?}", model.name);
        Err(ModelsError::Unavailable(reason))
    };
    timeout(limit, load).await.unwrap_or_else(late)
}

/// Updates the metrics from the report's models.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn measure(report: &WorkerReport) {
    metrics::gauge!(names::MODELS_LOADED).set(report.loaded.len() as f64);
    let generation = report.generation.map_or(0, |generation| generation.0);
    metrics::gauge!(names::MODEL_GENERATION, names::WORKER => report.id.to_string()).set(generation as f64);
}
