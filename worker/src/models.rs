//! The models in this worker's memory, by name and version.
//!
//! [`Models::want`] says which model is active and which is being prepared. A model that stops being active stays for
//! the jobs that were accepted for it. [`Models::get`] returns the model of a job: from memory, or by loading exactly
//! the bytes that the job is pinned to. Loading runs on the blocking pool, once for all callers, and never under the
//! lock that [`Models::get`] takes.

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
    /// Jobs that name a model load one at a time, so that concurrent loads cannot fill the memory. The models that the
    /// fleet wants do not queue behind them, and no load queues behind a hanging one.
    on_demand: Semaphore,
}

/// How long and how many models are kept.
#[derive(Debug, Clone, Copy)]
pub struct ModelLimits {
    /// How long a model is kept that stopped being active: the longest deadline of a job, so that no job accepted for
    /// it waits for another load.
    pub drain_for: Duration,
    /// Most models that were loaded for jobs; the least recently used one is evicted.
    pub max_extra_models: usize,
    /// How long a package that could not be loaded for a job is not tried again, so that a stream of such jobs does not
    /// keep the worker loading.
    pub remember_failure: Duration,
    /// A load for a job that takes longer lets the next one begin.
    pub alone_for: Duration,
    /// A load for a job that takes longer is given up: jobs do not wait for it any more until it has ended.
    pub give_up_after: Duration,
    /// Most slow loads at once: each takes a thread, and perhaps memory.
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

/// Why a model is not available on this worker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelsError {
    /// The package has other bytes than requested. Another worker may still have these.
    #[error("package `{name}` is version {} here, expected {}", found.short(), wanted.short())]
    WrongVersion {
        /// The package.
        name: ModelName,
        /// The requested version.
        wanted: ModelVersion,
        /// The version on disk.
        found: ModelVersion,
    },
    /// The package has problems that every worker would find: all of them.
    #[error("package `{name}` cannot be served: {}", problems.join("; "))]
    Unservable {
        /// The package.
        name: ModelName,
        /// One sentence each.
        problems: Vec<String>,
    },
    /// This worker cannot load it now: for example a file is missing, or memory is short.
    #[error("{0}")]
    Unavailable(String),
}

/// A model version.
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

/// A running load, shared by its callers.
type Loading = Shared<BoxFuture<'static, Loaded>>;

#[derive(Default)]
struct State {
    cache: Cache,
    loading: HashMap<Key, Loading>,
    /// Failed loads for jobs, and until when they are remembered.
    failures: HashMap<Key, (ModelsError, Instant)>,
    /// Slow loads for jobs, and whether they were given up.
    slow: HashMap<Key, Patience>,
    device: Option<String>,
}

/// Whether jobs still wait for a slow load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    Waiting,
    Over,
}

impl Models {
    /// Creates an empty registry.
    #[must_use]
    pub fn new(catalog: Catalog, loader: Arc<dyn EngineLoader>, limits: ModelLimits) -> Arc<Self> {
        let state = Mutex::new(State::default());
        Arc::new(Self { catalog, loader, limits, state, on_demand: Semaphore::new(1) })
    }

    /// Returns the model that a job is pinned to, and loads it if needed.
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

    /// Loads a model that the fleet wants, regardless of earlier failures. It stays in memory only if [`Self::want`]
    /// has named it.
    ///
    /// # Errors
    /// [`ModelsError`].
    pub async fn load(self: &Arc<Self>, pinned: &PinnedModel) -> Result<Arc<ServedModel>, ModelsError> {
        self.load_once(Key::of(pinned)).await
    }

    /// Sets the models that the fleet wants, loaded or not: the active one, and the target of a rollout in preparation.
    /// The formerly active model drains, and a target that is not wanted any more is dropped.
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

    /// Returns whether this model is in memory.
    #[must_use]
    pub fn holds(&self, pinned: &PinnedModel) -> bool {
        self.state().cache.holds(&Key::of(pinned))
    }

    /// Returns the models in memory, by name.
    #[must_use]
    pub fn loaded(&self) -> Vec<LoadedModel> {
        self.state().cache.list()
    }

    /// Returns the device of the last engine, or of the first one that will be loaded.
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
