//! Loads models: once for all callers, off the async threads, and only the exact version.

use std::sync::Arc;

use common::ids::ModelName;
use common::offload::{offload, offload_alone};
use common::package::{Package, PackageError};
use futures_util::FutureExt as _;
use tokio::time::{Instant, timeout};

use super::{Key, Loaded, Loading, Models, ModelsError, Patience};
use crate::examples;
use crate::served::ServedModel;
use engine::LoadError;

impl Models {
    /// Loads a model for a job, unless that failed recently, and keeps it while there is room.
    pub(super) async fn load_for_a_job(self: &Arc<Self>, key: Key) -> Loaded {
        if self.state().cache.is_wanted(&key) {
            return self.load_once(key).await;
        }
        // The semaphore is never closed; if it were, loading concurrently would still be correct.
        let permit = self.on_demand.acquire().await;
        if let Some(error) = self.remembered_failure(&key).or_else(|| self.hanging(&key)) {
            return Err(error);
        }
        let load = self.load_once(key.clone());
        tokio::pin!(load);
        let mut loaded = timeout(self.limits.alone_for, load.as_mut()).await;
        if loaded.is_err() {
            self.state().slow.insert(key.clone(), Patience::Waiting);
            drop(permit);
            let left = self.limits.give_up_after.saturating_sub(self.limits.alone_for);
            loaded = timeout(left, load).await;
        }
        let Ok(loaded) = loaded else { return Err(self.give_up(key)) };
        let model = loaded?;
        let dropped = self.state().cache.put_extra(key, Arc::clone(&model), self.limits.max_extra_models);
        release(dropped);
        Ok(model)
    }

    /// Returns why a load is not waited for: it hangs, or too many others do.
    fn hanging(&self, key: &Key) -> Option<ModelsError> {
        let state = self.state();
        match state.slow.get(key) {
            Some(Patience::Over) => Some(self.hangs(&key.name)),
            // It is running: the caller waits for it with the others.
            Some(Patience::Waiting) => None,
            None if state.slow.len() >= self.limits.max_slow_loads => {
                let count = state.slow.len();
                Some(unavailable(&key.name, &format!("{count} other packages are still being loaded")))
            }
            None => None,
        }
    }

    /// Gives a load up: its jobs stop waiting. It continues, and counts if it ends after all.
    fn give_up(&self, key: Key) -> ModelsError {
        let error = self.hangs(&key.name);
        if self.state().slow.insert(key, Patience::Over) != Some(Patience::Over) {
            tracing::warn!(%error, "loading this model was given up, jobs for it fail until it has ended");
        }
        error
    }

    fn hangs(&self, name: &ModelName) -> ModelsError {
        unavailable(name, &format!("it is not loaded after {:?}", self.limits.give_up_after))
    }

    /// Returns the model from memory, from a running load, or from a new one.
    pub(super) async fn load_once(self: &Arc<Self>, key: Key) -> Loaded {
        let end = {
            let mut state = self.state();
            if let Some(model) = state.cache.find(&key) {
                return Ok(model);
            }
            state.loading.entry(key.clone()).or_insert_with(|| self.spawn_load(key)).clone()
        };
        end.await
    }

    fn spawn_load(self: &Arc<Self>, key: Key) -> Loading {
        let this = Arc::clone(self);
        // A task of its own, so that the load continues if its callers are dropped.
        let load = tokio::spawn(async move {
            let (models, wanted) = (Arc::clone(&this), key.clone());
            let loaded = offload(move || models.load_now(&wanted)).await;
            let loaded = loaded.unwrap_or_else(|_| Err(cut_off()));
            let mut state = this.state();
            if let Ok(model) = &loaded {
                state.device = Some(model.engine.device().name().to_owned());
                state.failures.remove(&key);
                state.cache.put_wanted(&key, model);
            }
            state.loading.remove(&key);
            // A load that was given up has no caller to keep its model.
            let late = state.slow.remove(&key) == Some(Patience::Over);
            let mut dropped = Vec::new();
            if let (true, Ok(model)) = (late, &loaded) {
                dropped = state.cache.put_extra(key, Arc::clone(model), this.limits.max_extra_models);
            }
            drop(state);
            release(dropped);
            loaded
        });
        load.map(|ended| ended.unwrap_or_else(|_| Err(cut_off()))).boxed().shared()
    }

    /// Blocks on disk, then for as long as the engine takes.
    fn load_now(&self, key: &Key) -> Loaded {
        let package = self.open(key)?;
        let started = Instant::now();
        let engine = self.loader.load(&package).and_then(|engine| {
            examples::verify(&package, &*engine)?;
            Ok(engine)
        });
        // If the bytes were replaced between hashing and reading, they are another version.
        self.open(key)?;
        let error = match engine {
            Ok(engine) => {
                tracing::info!(
                    model = %key.name,
                    version = key.version.short(),
                    device = engine.device().name(),
                    seconds = started.elapsed().as_secs_f64(),
                    "model loaded"
                );
                return Ok(Arc::new(ServedModel::new(package, engine)));
            }
            Err(LoadError::Unservable(problems)) => {
                ModelsError::Unservable { name: key.name.clone(), problems }
            }
            Err(LoadError::Unavailable(reason)) => unavailable(&key.name, &reason),
        };
        // Only the engine's errors are remembered. Disk errors are cheap to check again and may be fixed at any time;
        // other bytes are another version, without failures.
        let until = Instant::now() + self.limits.remember_failure;
        self.state().failures.insert(key.clone(), (error.clone(), until));
        Err(error)
    }

    fn open(&self, key: &Key) -> Result<Package, ModelsError> {
        let package = self.catalog.open(&key.name).map_err(|error| match error {
            PackageError::Missing(reason) => ModelsError::Unavailable(reason),
            PackageError::Unreadable { name, reason } => unavailable(&name, &reason),
            // The caller has read the config of this version, so these are other bytes.
            PackageError::Invalid { name, problems } => unavailable(
                &name,
                &format!("its config was replaced and is invalid: {}", problems.join("; ")),
            ),
        })?;
        if package.version == key.version {
            return Ok(package);
        }
        Err(ModelsError::WrongVersion {
            name: key.name.clone(),
            wanted: key.version.clone(),
            found: package.version,
        })
    }

    fn remembered_failure(&self, key: &Key) -> Option<ModelsError> {
        let now = Instant::now();
        let mut state = self.state();
        state.failures.retain(|_, (_, until)| now < *until);
        state.failures.get(key).map(|(error, _)| error.clone())
    }
}

/// Drops models on the blocking pool: an engine may take long to free its memory.
pub(super) fn release(models: Vec<Arc<ServedModel>>) {
    for model in &models {
        tracing::info!(
            model = %model.package.name,
            version = model.package.version.short(),
            "model dropped from memory"
        );
    }
    if !models.is_empty() {
        offload_alone(move || drop(models));
    }
}

fn unavailable(name: &ModelName, reason: &str) -> ModelsError {
    ModelsError::Unavailable(format!("package `{name}`: {reason}"))
}

fn cut_off() -> ModelsError {
    ModelsError::Unavailable("loading the model was cut off".to_owned())
}
