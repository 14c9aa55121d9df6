//! The fleet: its model, its workers, its queue and its rollouts.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The fleet serves the new model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"code": 200, "response": "Changed model to animals_classifier_v0"}))]
pub struct SwapAnswer {
    /// 200.
    pub code: u16,
    /// A sentence.
    pub response: String,
}

/// The swap is not complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"code": 202, "response": {"model": "animals_classifier_v0", "generation": 7,
    "status": "preparing", "detail": "the workers are loading the model",
    "status_url": "/classifier/prediction-service/rollouts/7"}}))]
pub struct SwapPendingAnswer {
    /// 202.
    pub code: u16,
    /// Its progress.
    pub response: SwapPending,
}

/// The progress of a swap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SwapPending {
    /// The new model.
    pub model: String,
    /// Names the rollout.
    pub generation: u64,
    /// `preparing`, `converging`, or `done` where the choice is stored and no worker is online.
    pub status: String,
    /// A sentence.
    pub detail: String,
    /// Address for polling.
    pub status_url: String,
}

/// The state of the fleet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FleetAnswer {
    /// 200.
    pub code: u16,
    /// The state.
    pub response: FleetView,
}

/// The model, the workers and the queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"model": "animals_classifier_v0", "version": "9f86d0…", "generation": 3,
    "previous": null, "rollout": null, "queue": {"waiting": 0, "dead_letters": 0},
    "workers": [{"id": "host-1a2b3c4d", "host": "host", "state": "ready", "device": "cpu", "generation": 3,
        "problem": null, "clock_offset_seconds": 0.012,
        "loaded": [{"model": "animals_classifier_v0", "version": "9f86d0…", "role": "active"}],
        "images_per_second": 120.5, "images_total": 9000, "uptime_seconds": 75.0, "last_seen_seconds": 0.4}]}))]
pub struct FleetView {
    /// Name of the active model; null before the first swap.
    pub model: Option<String>,
    /// Digest of the active package.
    pub version: Option<String>,
    /// Generation of the active model.
    pub generation: Option<u64>,
    /// The model that a rollback would activate.
    pub previous: Option<ModelView>,
    /// The running rollout.
    pub rollout: Option<RolloutView>,
    /// The queue; null if the broker is out of reach.
    pub queue: Option<QueueView>,
    /// Workers that reported recently.
    pub workers: Vec<WorkerView>,
}

/// A model version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelView {
    /// Name of the package.
    pub model: String,
    /// Digest of its bytes.
    pub version: String,
    /// The generation in which it became active.
    pub generation: u64,
}

/// The length of the queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QueueView {
    /// Parts of jobs that wait for a worker.
    pub waiting: u64,
    /// Dead letters.
    pub dead_letters: u64,
}

/// One worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkerView {
    /// Its id, for its lifetime.
    pub id: String,
    /// Its host.
    pub host: String,
    /// `starting`, `ready` or `stopping`.
    pub state: String,
    /// The device that it computes on.
    pub device: String,
    /// The generation that it serves.
    pub generation: Option<u64>,
    /// Why it is not ready.
    pub problem: Option<String>,
    /// How far its clock is ahead of the store's, in seconds; null before it is known. Deadlines use the store's clock.
    pub clock_offset_seconds: Option<f64>,
    /// Models in its memory.
    pub loaded: Vec<LoadedView>,
    /// Images per second over the last ten seconds.
    pub images_per_second: f64,
    /// Images since its start.
    pub images_total: u64,
    /// Uptime, in seconds.
    pub uptime_seconds: f64,
    /// Age of this report, in seconds.
    pub last_seen_seconds: f64,
}

/// A model in a worker's memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LoadedView {
    /// Name of the package.
    pub model: String,
    /// Digest of its bytes.
    pub version: String,
    /// `active`, `prepared` or `draining`.
    pub role: String,
}

/// The state of a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RolloutAnswer {
    /// 200.
    pub code: u16,
    /// The state.
    pub response: RolloutView,
}

/// One rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"generation": 4, "model": "animals_classifier_v1", "version": "60303a…",
    "phase": "preparing", "failure": null, "age_seconds": 1.2, "ended": false,
    "workers": [{"id": "host-1a2b3c4d", "state": "loading", "detail": null}]}))]
pub struct RolloutView {
    /// The rollout's generation, which the model has once it is active.
    pub generation: u64,
    /// The new model.
    pub model: String,
    /// Digest of its package.
    pub version: String,
    /// `preparing`, `converging`, `done` or `rolled_back`.
    pub phase: String,
    /// Why it was rolled back.
    pub failure: Option<String>,
    /// Seconds since it began.
    pub age_seconds: f64,
    /// Whether it has ended.
    pub ended: bool,
    /// The workers that are online now.
    pub workers: Vec<RolloutWorkerView>,
}

/// A worker's progress in a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RolloutWorkerView {
    /// The worker's id.
    pub id: String,
    /// `waiting`, `loading`, `prepared`, `unservable`, `failed`, or `following` once it serves the new model.
    pub state: String,
    /// What failed, or what it waits for.
    pub detail: Option<String>,
}
