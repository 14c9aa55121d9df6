//! The state of the whole fleet: what is wanted, which is one document in the store, and what each
//! worker reports of itself.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::{Generation, ModelName, ModelVersion, RolloutId, WorkerId};
use crate::messages::{PinnedModel, Timestamp};

/// The one document that decides which model is active. It is replaced as a whole, by
/// compare-and-set, so that exactly one model is active whoever dies when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetState {
    /// [`FleetState::VERSION`] of who wrote it.
    #[serde(default = "first_version")]
    pub version: u16,
    /// The last generation given out.
    pub generation: Generation,
    /// The model that answers requests accepted now.
    pub active: Option<PinnedModel>,
    /// The model that was active before.
    pub previous: Option<PinnedModel>,
    /// The rollout that is running, or the last one while nobody has begun another.
    pub rollout: Option<Rollout>,
    /// Rollouts that ended, newest first, at most [`FleetState::HISTORY`].
    #[serde(default)]
    pub history: VecDeque<Rollout>,
}

impl Default for FleetState {
    fn default() -> Self {
        Self {
            version: Self::VERSION,
            generation: Generation::default(),
            active: None,
            previous: None,
            rollout: None,
            history: VecDeque::new(),
        }
    }
}

impl FleetState {
    /// Version of the document that this release writes, and the newest that it reads. A release that brings a
    /// new version reads it first; the one after writes it.
    pub const VERSION: u16 = 1;

    /// How many ended rollouts are remembered.
    pub const HISTORY: usize = 32;

    /// The rollout with this generation, running or ended, while it is remembered.
    #[must_use]
    pub fn rollout_of(&self, generation: Generation) -> Option<&Rollout> {
        self.rollout.iter().chain(&self.history).find(|rollout| rollout.generation == generation)
    }
}

/// One attempt to change the model of the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// The generation that the target gets.
    pub generation: Generation,
    /// What is rolled out.
    pub target: PinnedModel,
    /// How far it is.
    pub phase: Phase,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Workers that are not prepared by then make it roll back.
    pub prepare_until: Timestamp,
    /// Who runs it and renews the lease: a random id for each rollout.
    pub coordinator: Uuid,
    /// Past this moment anyone may end it.
    pub lease_until: Timestamp,
    /// When the target became active; none while it is not.
    #[serde(default)]
    pub committed_at: Option<Timestamp>,
    /// Workers that it waited for at some time before the commit, in the order they were seen.
    #[serde(default)]
    pub participants: Vec<WorkerId>,
    /// The limits it was begun with. They travel with it, so that every process that may have to end it
    /// goes by the same ones.
    #[serde(default)]
    pub timing: RolloutTiming,
}

impl Rollout {
    /// Names this rollout among all there ever were. A generation does not: a store that comes back with an
    /// older state gives the same one again.
    #[must_use]
    pub fn id(&self) -> RolloutId {
        RolloutId(self.coordinator)
    }

    /// Whether it has ended, well or not. One in a phase that this release does not know is taken to be running.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        match self.phase {
            Phase::Preparing | Phase::Converging | Phase::Unknown => false,
            Phase::Done | Phase::RolledBack { .. } => true,
        }
    }

    /// Whether its target was made active without any worker online to try it: the choice is recorded,
    /// and workers load it as they come.
    #[must_use]
    pub fn is_only_recorded(&self) -> bool {
        self.committed_at.is_some() && self.participants.is_empty()
    }
}

/// How long the steps of a rollout may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RolloutTiming {
    /// Workers that are not prepared after this long make it roll back.
    pub prepare_limit: Duration,
    /// After a commit, workers that have not said that they follow are waited for at most this long. The
    /// commit stands either way.
    pub converge_limit: Duration,
    /// A coordinator that gave no sign of life for this long is taken for dead. Well above the difference
    /// between the hosts' clocks.
    pub lease: Duration,
    /// A fleet that seems to have no worker gets this long to show one before the target is recorded
    /// untried: after an outage of the store all reports are gone for a heartbeat.
    pub grace: Duration,
}

impl Default for RolloutTiming {
    fn default() -> Self {
        Self {
            prepare_limit: Duration::from_secs(120),
            converge_limit: Duration::from_secs(30),
            lease: Duration::from_secs(10),
            grace: Duration::from_secs(1),
        }
    }
}

/// The phases of a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "phase")]
pub enum Phase {
    /// Workers load the target beside the active model. Nothing has changed for clients.
    Preparing,
    /// The target is active; workers report that they know.
    Converging,
    /// Every online worker answers from the target.
    Done,
    /// The target was dropped; the model before is active as if nothing had been.
    RolledBack {
        /// Why.
        failure: RolloutFailure,
    },
    /// One that a newer release knows.
    #[serde(other)]
    Unknown,
}

/// Why a rollout was rolled back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum RolloutFailure {
    /// The package cannot be served by anyone: every fault found, by the worker that looked.
    Unservable {
        /// Who says so.
        worker: WorkerId,
        /// All faults.
        problems: Vec<String>,
    },
    /// One worker cannot load a package that may be sound.
    WorkerFailed {
        /// Which.
        worker: WorkerId,
        /// Why.
        reason: String,
    },
    /// Time was up.
    TimedOut {
        /// Workers that were not ready.
        waiting_for: Vec<WorkerId>,
    },
    /// The process that ran the rollout died.
    CoordinatorLost,
    /// One that a newer release knows.
    #[serde(other)]
    Unknown,
}

/// What a worker says of itself, renewed every heartbeat and forgotten soon after the last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerReport {
    /// Who.
    pub id: WorkerId,
    /// Where, for people.
    pub host: String,
    /// What it is doing.
    pub state: WorkerState,
    /// What it computes on, e.g. `cpu` or `gpu:NVIDIA H100`.
    pub device: String,
    /// The generation whose model it takes as active; none before it has loaded one.
    pub generation: Option<Generation>,
    /// Models in memory.
    pub loaded: Vec<LoadedModel>,
    /// How far it is with the running rollout.
    pub preparation: Option<Preparation>,
    /// Why it is not ready, while it is not: what keeps it from loading the active model.
    #[serde(default)]
    pub problem: Option<String>,
    /// The version of the active package that lies on this worker's disk, where that is not the active one.
    #[serde(default)]
    pub found: Option<ModelVersion>,
    /// How far the worker's clock is ahead of the store's, in milliseconds.
    #[serde(default)]
    pub clock_offset_ms: Option<i64>,
    /// Images a second over the last ten seconds.
    pub images_per_second: f64,
    /// Parts a second over the last ten seconds.
    pub parts_per_second: f64,
    /// Images done since it started.
    pub images_total: u64,
    /// Since when it runs.
    pub started_at: Timestamp,
    /// When this report was made.
    pub reported_at: Timestamp,
}

/// What a worker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    /// It has not loaded the active model yet and takes no jobs.
    Starting,
    /// It takes jobs.
    Ready,
    /// It finishes what it has and leaves.
    Stopping,
    /// One that a newer release knows.
    #[serde(other)]
    Unknown,
}

impl WorkerState {
    /// As a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
            Self::Unknown => "unknown",
        }
    }
}

/// A model in a worker's memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadedModel {
    /// The package.
    pub name: ModelName,
    /// Its bytes.
    pub version: ModelVersion,
    /// What it is kept for.
    pub role: ModelRole,
}

impl LoadedModel {
    /// This model, kept because it answers new requests.
    #[must_use]
    pub fn active(model: &PinnedModel) -> Self {
        Self { name: model.name.clone(), version: model.version.clone(), role: ModelRole::Active }
    }
}

/// What a loaded model is kept for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelRole {
    /// It answers new requests.
    Active,
    /// It is ready for the running rollout.
    Prepared,
    /// It answers requests that were accepted for it, before or by name.
    Draining,
    /// One that a newer release knows.
    #[serde(other)]
    Unknown,
}

/// How far a worker is with one rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preparation {
    /// The generation of the rollout.
    pub generation: Generation,
    /// Which rollout; releases before 0.2 tell the generation alone.
    #[serde(default)]
    pub rollout: Option<RolloutId>,
    /// How far.
    pub state: PreparationState,
}

/// The states of a preparation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum PreparationState {
    /// It is loading, checking and warming up.
    Loading,
    /// It can answer from the target at once.
    Prepared,
    /// The package has faults that every worker would find.
    Unservable {
        /// All of them.
        problems: Vec<String>,
    },
    /// This worker could not load it.
    Failed {
        /// Why.
        reason: String,
    },
    /// One that a newer release knows.
    #[serde(other)]
    Unknown,
}

impl Preparation {
    /// Returns whether this is about `rollout`.
    #[must_use]
    pub fn is_for(&self, rollout: &Rollout) -> bool {
        self.rollout.map_or(self.generation == rollout.generation, |id| id == rollout.id())
    }
}

fn first_version() -> u16 {
    1
}
