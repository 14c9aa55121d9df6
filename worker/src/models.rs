//! The models in this worker's memory, by name and version.
//!
//! [`Models::want`] says which model is active and which is being prepared; a model that stops being
//! active stays for the jobs that were accepted for it. [`Models::get`] serves a job: from memory, or by
//! loading the very bytes that the job is pinned to. Loading runs on the blocking pool, once for all who
//! wait for it, and never under the lock that [`Models::get`] takes.

mod cache;
mod load;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::fleet::LoadedModel;
use common::ids::{ModelName, ModelVersion};
use common::messages::PinnedModel;
use common::package::Catalog;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use self::cache::Cache;
use engine::EngineLoader;

use crate::served::ServedModel;

/// The registry of loaded models.
pub struct Models {
    catalog: Catalog,
    loader: Arc<dyn EngineLoader>,
    limits: ModelLimits,
    state: Mutex<State>,
    /// Jobs that ask for models by name load one at a time, so that they cannot fill the memory with
    /// packages on their way. What the fleet wants does not queue behind them, nor does anything behind one that hangs.
    on_demand: Semaphore,
}

/// How long and how many models are kept.
#[derive(Debug, Clone, Copy)]
pub struct ModelLimits {
    /// A model that is not active any more is kept this long: the longest deadline of a job, so that no
    /// job accepted for it has to wait until it is loaded again.
    pub drain_for: Duration,
    /// Models loaded because a job asked for them; the one unused longest makes room for another.
    pub max_extra_models: usize,
    /// A package that could not be loaded for a job is not tried again for this long, so that a stream
    /// of such jobs does not keep the worker loading.
    pub remember_failure: Duration,
    /// A load for a job that takes longer lets others begin beside it.
    pub alone_for: Duration,
    /// A load for a job that takes longer is given up by those who wait for it, and nobody waits for it any more until
    /// it ends after all.
    pub give_up_after: Duration,
    /// Loads that may go on beside others for taking long: each takes a thread, and perhaps memory.
    pub max_slow_loads: usize,
}

impl Default for ModelLimits {
    fn default() -> Self {
        Self {
            drain_for: Duration::from_secs(600),
            max_extra_models: 2,
            remember_failure: Duration::from_secs(10),
            alone_for: Duration::from_secs(10),
            give_up_after: Duration::from_secs(60),
            max_slow_loads: 4,
        }
    }
}

/// Why there is no such model in this worker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelsError {
    /// The package here has other bytes than those asked for. Another worker may still have these.
    #[error("package `{name}` is version {} here, expected {}", found.short(), wanted.short())]
    WrongVersion {
        /// The package.
        name: ModelName,
        /// What was asked for.
        wanted: ModelVersion,
        /// What is on the disk.
        found: ModelVersion,
    },
    /// The package has faults that every worker would find: all of them.
    #[error("package `{name}` cannot be served: {}", problems.join("; "))]
    Unservable {
        /// The package.
        name: ModelName,
        /// One sentence each.
        problems: Vec<String>,
    },
    /// This worker cannot load it now: a file is missing, memory is short.
    #[error("{0}")]
    Unavailable(String),
}

/// One package, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    name: ModelName,
    version: ModelVersion,
}

impl Key {
    fn of(model: &PinnedModel) -> Self {
        Self { name: model.name.clone(), version: model.version.clone() }
    }
}

type Loaded = Result<Arc<ServedModel>, ModelsError>;

/// A load under way, for all who wait for it.
type Loading = Shared<BoxFuture<'static, Loaded>>;

#[derive(Default)]
struct State {
    cache: Cache,
    loading: HashMap<Key, Loading>,
    /// Loads for jobs that failed, and until when that is remembered.
    failures: HashMap<Key, (ModelsError, Instant)>,
    /// Loads for jobs that take long, and whether they were given up.
    slow: HashMap<Key, Patience>,
    device: Option<String>,
}

/// Whether somebody still waits for a load that takes long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    Waiting,
    Over,
}

impl Models {
    /// An empty registry.
    #[must_use]
    pub fn new(catalog: Catalog, loader: Arc<dyn EngineLoader>, limits: ModelLimits) -> Arc<Self> {
        let state = Mutex::new(State::default());
        Arc::new(Self { catalog, loader, limits, state, on_demand: Semaphore::new(1) })
    }

    /// The model that a job is pinned to, loaded now if need be.
    ///
    /// # Errors
    /// [`ModelsError`]; a failure to load is remembered for a while.
    pub async fn get(self: &Arc<Self>, pinned: &PinnedModel) -> Result<Arc<ServedModel>, ModelsError> {
        let key = Key::of(pinned);
        if let Some(model) = self.state().cache.find(&key) {
            return Ok(model);
        }
        self.load_for_a_job(key).await
    }

    /// Loads what the fleet wants, whatever failed before. It stays in memory only if [`Self::want`] has
    /// named it.
    ///
    /// # Errors
    /// [`ModelsError`].
    pub async fn load(self: &Arc<Self>, pinned: &PinnedModel) -> Result<Arc<ServedModel>, ModelsError> {
        self.load_once(Key::of(pinned)).await
    }

    /// Says which models the fleet wants, loaded or not: the active one, and the target of a rollout
    /// being prepared. What was active until now drains, a target that is not wanted any more goes.
    pub fn want(&self, active: Option<&PinnedModel>, prepared: Option<&PinnedModel>) {
        let mut state = self.state();
        let until = Instant::now() + self.limits.drain_for;
        let dropped = state.cache.want(active.map(Key::of), prepared.map(Key::of), until);
        drop(state);
        load::release(dropped);
    }

    /// Drops models that have drained.
    pub fn tidy(&self) {
        let dropped = self.state().cache.expire(Instant::now());
        load::release(dropped);
    }

    /// Whether this model is in memory.
    #[must_use]
    pub fn holds(&self, pinned: &PinnedModel) -> bool {
        self.state().cache.holds(&Key::of(pinned))
    }

    /// The models in memory, by name.
    #[must_use]
    pub fn loaded(&self) -> Vec<LoadedModel> {
        self.state().cache.list()
    }

    /// What the engine loaded last computes on, or the first one will.
    #[must_use]
    pub fn device(&self) -> String {
        self.state().device.clone().unwrap_or_else(|| self.loader.device().name().to_owned())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
