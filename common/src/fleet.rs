//! The state of the fleet: the wanted state, one document in the store, and the report of each worker.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::{Generation, ModelName, ModelVersion, RolloutId, WorkerId};
use crate::messages::{PinnedModel, Timestamp};

/// The document that decides which model is active. It is replaced as a whole by compare-and-set, so that exactly one
/// model is active at any time, even after crashes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetState {
    /// The writer's [`FleetState::VERSION`].
    #[serde(default = "first_version")]
    pub version: u16,
    /// The last generation that was assigned.
    pub generation: Generation,
    /// The model for requests that are accepted now.
    pub active: Option<PinnedModel>,
    /// The previous model.
    pub previous: Option<PinnedModel>,
    /// The running rollout, or the last one.
    pub rollout: Option<Rollout>,
    /// Ended rollouts, newest first, at most [`FleetState::HISTORY`].
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
    /// The version that this release writes, and the newest that it reads. A release that introduces a version reads it
    /// first; the next one writes it.
    pub const VERSION: u16 = 1;

    /// Number of ended rollouts that are remembered.
    pub const HISTORY: usize = 32;

    /// Returns the rollout with this generation, running or ended, while it is remembered.
    #[must_use]
    pub fn rollout_of(&self, generation: Generation) -> Option<&Rollout> {
        self.rollout.iter().chain(&self.history).find(|rollout| rollout.generation == generation)
    }
}

/// An attempt to change the model of the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// The generation that the target gets.
    pub generation: Generation,
    /// The model to roll out.
    pub target: PinnedModel,
    /// Its progress.
    pub phase: Phase,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Workers that are not prepared by then cause a rollback.
    pub prepare_until: Timestamp,
    /// The coordinator, which renews the lease: a random id for each rollout.
    pub coordinator: Uuid,
    /// After this moment any process may end it.
    pub lease_until: Timestamp,
    /// When the target became active; `None` before.
    #[serde(default)]
    pub committed_at: Option<Timestamp>,
    /// Workers that it waited for before the commit, in the order in which they were seen.
    #[serde(default)]
    pub participants: Vec<WorkerId>,
    /// Its timeouts, which are stored so that every process that may have to end it uses the same.
    #[serde(default)]
    pub timing: RolloutTiming,
}

impl Rollout {
    /// Unique id of this rollout. The generation is not unique: a store that comes back with an older state assigns it
    /// again.
    #[must_use]
    pub fn id(&self) -> RolloutId {
        RolloutId(self.coordinator)
    }

    /// Returns whether it has ended, successfully or not. An unknown phase counts as running.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        match self.phase {
            Phase::Preparing | Phase::Converging | Phase::Unknown => false,
            Phase::Done | Phase::RolledBack { .. } => true,
        }
    }

    /// Returns whether its target became active without an online worker: the choice is stored, and workers load it
    /// when they start.
    #[must_use]
    pub fn is_only_recorded(&self) -> bool {
        self.committed_at.is_some() && self.participants.is_empty()
    }
}

/// Timeouts of the steps of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RolloutTiming {
    /// Workers that are not prepared after this time cause a rollback.
    pub prepare_limit: Duration,
    /// After a commit, workers that do not follow are waited for at most this long. The commit stays in either case.
    pub converge_limit: Duration,
    /// A coordinator without a sign of life for this long counts as dead. Well above the difference between the hosts'
    /// clocks.
    pub lease: Duration,
    /// A fleet without workers gets this long to show one before the target is stored untried: after an outage of the
    /// store all reports are missing for a heartbeat.
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
    /// Workers load the target beside the active model. Clients notice nothing.
    Preparing,
    /// The target is active; workers report that they follow.
    Converging,
    /// Every online worker serves the target.
    Done,
    /// The target was dropped; the previous model stays active.
    RolledBack {
        /// Why.
        failure: RolloutFailure,
    },
    /// A phase of a newer release.
    #[serde(other)]
    Unknown,
}

/// Why a rollout was rolled back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum RolloutFailure {
    /// The package cannot be served by any worker: all problems that the worker found.
    Unservable {
        /// The worker.
        worker: WorkerId,
        /// All problems.
        problems: Vec<String>,
    },
    /// One worker cannot load a package that may be valid.
    WorkerFailed {
        /// The worker.
        worker: WorkerId,
        /// Why.
        reason: String,
    },
    /// The time was over.
    TimedOut {
        /// Workers that were not prepared.
        waiting_for: Vec<WorkerId>,
    },
    /// The coordinator's process died.
    CoordinatorLost,
    /// A failure of a newer release.
    #[serde(other)]
    Unknown,
}

/// A worker's report about itself. It is renewed with every heartbeat and expires some time after the last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerReport {
    /// The worker.
    pub id: WorkerId,
    /// Its host.
    pub host: String,
    /// Its state.
    pub state: WorkerState,
    /// The device that it computes on, e.g. `cpu` or `gpu:NVIDIA H100`.
    pub device: String,
    /// The generation that it serves; `None` before it has loaded one.
    pub generation: Option<Generation>,
    /// Models in memory.
    pub loaded: Vec<LoadedModel>,
    /// Its progress in the running rollout.
    pub preparation: Option<Preparation>,
    /// Why it is not ready, while it is not.
    #[serde(default)]
    pub problem: Option<String>,
    /// The version of the active package on this worker's disk, if that is not the active version.
    #[serde(default)]
    pub found: Option<ModelVersion>,
    /// How far the worker's clock is ahead of the store's, in milliseconds.
    #[serde(default)]
    pub clock_offset_ms: Option<i64>,
    /// Images per second over the last ten seconds.
    pub images_per_second: f64,
    /// Parts per second over the last ten seconds.
    pub parts_per_second: f64,
    /// Images since its start.
    pub images_total: u64,
    /// When it started.
    pub started_at: Timestamp,
    /// When this report was made.
    pub reported_at: Timestamp,
}

/// The state of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    /// It has not loaded the active model yet and takes no jobs.
    Starting,
    /// It takes jobs.
    Ready,
    /// It finishes its jobs and ends.
    Stopping,
    /// A state of a newer release.
    #[serde(other)]
    Unknown,
}

impl WorkerState {
    /// Returns its name.
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
    /// Its version.
    pub version: ModelVersion,
    /// Why it is in memory.
    pub role: ModelRole,
}

impl LoadedModel {
    /// Describes this model as the active one.
    #[must_use]
    pub fn active(model: &PinnedModel) -> Self {
        Self { name: model.name.clone(), version: model.version.clone(), role: ModelRole::Active }
    }
}

/// Why a model is in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelRole {
    /// It serves new requests.
    Active,
    /// It is prepared for the running rollout.
    Prepared,
    /// It serves requests that were accepted for it earlier or by name.
    Draining,
    /// A role of a newer release.
    #[serde(other)]
    Unknown,
}

/// A worker's progress in one rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preparation {
    /// The generation of the rollout.
    pub generation: Generation,
    /// The rollout's id; releases before 0.2 report the generation alone.
    #[serde(default)]
    pub rollout: Option<RolloutId>,
    /// Its progress.
    pub state: PreparationState,
}

/// The states of a preparation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum PreparationState {
    /// It loads, checks and warms up the target.
    Loading,
    /// It can serve the target at once.
    Prepared,
    /// The package has problems that every worker would find.
    Unservable {
        /// All problems.
        problems: Vec<String>,
    },
    /// This worker could not load it.
    Failed {
        /// Why.
        reason: String,
    },
    /// A state of a newer release.
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
