//! Loading: once for all who wait, off the async threads, and the exact version or none.

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
    /// Loads a model for a job, unless that failed a moment ago, and keeps it while there is room.
    pub(super) async fn load_for_a_job(self: &Arc<Self>, key: Key) -> Loaded {
        if self.state().cache.is_wanted(&key) {
            return self.load_once(key).await;
        }
        // The semaphore is never closed; were it, loading side by side would still be right.
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

    /// Why a load is not waited for: it hangs, or too many others do.
    fn hanging(&self, key: &Key) -> Option<ModelsError> {
        let state = self.state();
        match state.slow.get(key) {
            Some(Patience::Over) => Some(self.hangs(&key.name)),
            // It is under way: whoever asks waits beside the others.
            Some(Patience::Waiting) => None,
            None if state.slow.len() >= self.limits.max_slow_loads => {
                let count = state.slow.len();
                Some(unavailable(&key.name, &format!("{count} other packages are still being loaded")))
            }
            None => None,
        }
    }

    /// Those who wait for a load leave. It goes on: should it end after all, it counts.
    fn give_up(&self, key: Key) -> ModelsError {
        let error = self.hangs(&key.name);
        if self.state().slow.insert(key, Patience::Over) != Some(Patience::Over) {
            tracing::warn!(%error, "nobody waits for this model any more until it is loaded after all");
        }
        error
    }

    fn hangs(&self, name: &ModelName) -> ModelsError {
        unavailable(name, &format!("it is not loaded after {:?}", self.limits.give_up_after))
    }

    /// The model from memory, or loaded now, or from the load that is under way.
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
        // A task of its own, so that the load ends well when those who asked for it have gone.
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
            // One that was given up has nobody who would keep it.
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
        // Bytes that were replaced between the digest and the engine's reading are another version.
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
        // Only what the engine said is remembered. What the disk holds is cheap to look at and may be
        // mended at any time; other bytes are another version, which has no failure yet.
        let until = Instant::now() + self.limits.remember_failure;
        self.state().failures.insert(key.clone(), (error.clone(), until));
        Err(error)
    }

    fn open(&self, key: &Key) -> Result<Package, ModelsError> {
        let package = self.catalog.open(&key.name).map_err(|error| match error {
            PackageError::Missing(reason) => ModelsError::Unavailable(reason),
            PackageError::Unreadable { name, reason } => unavailable(&name, &reason),
            // Whoever asked for this version has read its config, so these are other bytes.
            PackageError::Invalid { name, problems } => unavailable(
                &name,
                &format!("its config was replaced and has faults: {}", problems.join("; ")),
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

/// Lets models go on the blocking pool: an engine may take its time to free what it holds.
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
