//! A fleet in one process: real control, real coordinators, the in-memory adapters, and a fake of TensorFlow.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use api::rollout::{Begun, Coordinator, RolloutTiming, Target};
use common::broker::BrokerLimits;
use common::broker::in_process::InProcessBroker;
use common::fleet::{FleetState, Rollout, WorkerReport, WorkerState};
use common::ids::{ModelName, WorkerId};
use common::messages::{PinnedModel, Timestamp};
use common::package::{Catalog, Package};
use common::store::Store;
use common::store::in_memory::InMemoryStore;
use engine::{Batch, Device, Engine, EngineError, EngineLoader, LoadError, Scores};
use tokio::time::{Instant, sleep};
use worker::control::{Control, ControlParts, ControlTiming, Throughput};
use worker::models::{ModelLimits, Models};

use super::line::Line;

const CONFIG: &str = r#"{"model_name": "m", "img_preproc_type": "no_prepro", "output_postproc_type":
    "argmax", "image_preproc_config": {"input_shape": [2, 2, 3]}, "output_config": {"output_classes": ["a"]}}"#;

pub(super) const TIMING: RolloutTiming = RolloutTiming {
    prepare_limit: Duration::from_secs(20),
    converge_limit: Duration::from_secs(5),
    lease: Duration::from_millis(1_500),
    grace: Duration::from_millis(100),
};

pub(super) const CONTROL: ControlTiming = ControlTiming {
    heartbeat: Duration::from_millis(50),
    report_ttl: Duration::from_millis(600),
    max_staleness: Duration::from_millis(200),
    retry: Duration::from_millis(20),
    max_retry: Duration::from_millis(100),
    load_limit: Duration::from_secs(10),
};

/// A fake of TensorFlow.
#[derive(Default)]
pub(super) struct Double {
    loads: Mutex<Vec<String>>,
    mood: Mutex<Mood>,
}

#[derive(Default, Clone)]
pub(super) enum Mood {
    #[default]
    Fine,
    OutOfMemory,
    /// A load ends when the other end is dropped.
    Held(Arc<Mutex<mpsc::Receiver<()>>>),
}

struct DoubleEngine;

impl Engine for DoubleEngine {
    fn predict(&self, batch: &Batch) -> Result<Scores, EngineError> {
        Ok(Scores { classes: 1, values: vec![1.0; batch.images] })
    }

    fn device(&self) -> &Device {
        &Device::Cpu
    }
}

impl EngineLoader for Double {
    fn load(&self, package: &Package) -> Result<Arc<dyn Engine>, LoadError> {
        self.loads.lock().unwrap().push(package.name.to_string());
        let mood = self.mood.lock().unwrap().clone();
        match mood {
            Mood::Fine => {}
            Mood::OutOfMemory => return Err(LoadError::Unavailable("out of memory".to_owned())),
            Mood::Held(held) => drop(held.lock().unwrap().recv()),
        }
        if fs::read_to_string(&package.model.path).unwrap() == "broken" {
            return Err(LoadError::Unservable(vec![
                "layer `a`: one".to_owned(),
                "layer `b`: two".to_owned(),
            ]));
        }
        Ok(Arc::new(DoubleEngine))
    }
}

/// A worker and ways to disturb it.
pub(super) struct Worker {
    pub(super) control: Arc<Control>,
    pub(super) models: Arc<Models>,
    pub(super) line: Arc<Line>,
    double: Arc<Double>,
}

impl Worker {
    pub(super) fn id(&self) -> &WorkerId {
        self.control.id()
    }

    /// Returns the names of the packages that it loaded, in order, with repetitions.
    pub(super) fn loads(&self) -> Vec<String> {
        self.double.loads.lock().unwrap().clone()
    }

    pub(super) fn mood(&self, mood: Mood) {
        *self.double.mood.lock().unwrap() = mood;
    }

    /// Loads hang until the returned value is dropped.
    pub(super) fn hold_loads(&self) -> mpsc::Sender<()> {
        let (release, held) = mpsc::channel();
        self.mood(Mood::Held(Arc::new(Mutex::new(held))));
        release
    }
}

/// The shared servers and models folder.
pub(super) struct Fleet {
    folder: tempfile::TempDir,
    pub(super) broker: Arc<InProcessBroker>,
    pub(super) store: Arc<InMemoryStore>,
}

impl Fleet {
    pub(super) fn new() -> Self {
        let limits = BrokerLimits { max_parts: 10, max_bytes: None, call_timeout: Duration::from_secs(1) };
        Self {
            folder: tempfile::tempdir().unwrap(),
            broker: InProcessBroker::new(limits),
            store: InMemoryStore::new(),
        }
    }

    /// Writes a package whose model has these bytes.
    pub(super) fn package(&self, name: &str, says: &str) -> Target {
        let folder = self.folder.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{name}_config.json")), CONFIG).unwrap();
        fs::write(folder.join(format!("{name}.hdf5")), says).unwrap();
        let package = Catalog::new(self.folder.path()).open(&ModelName::parse(name).unwrap()).unwrap();
        Target { name: package.name, version: package.version }
    }

    pub(super) fn models_folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns a coordinator with its own line to the store.
    pub(super) fn coordinator(&self, timing: RolloutTiming) -> (Arc<Coordinator>, Arc<Line>) {
        let line = Line::new(&self.store);
        (Coordinator::new(Arc::clone(&self.broker) as _, Arc::clone(&line) as _, timing), line)
    }

    pub(super) fn worker(&self, name: &str) -> Worker {
        let (double, line) = (Arc::<Double>::default(), Line::new(&self.store));
        let catalog = Catalog::new(self.folder.path());
        let models = Models::new(catalog, Arc::clone(&double) as _, ModelLimits::default());
        let parts = ControlParts {
            id: WorkerId::from(name.to_owned()),
            host: "host".to_owned(),
            broker: Arc::clone(&self.broker) as _,
            store: Arc::clone(&line) as _,
            models: Arc::clone(&models),
            throughput: Arc::new(Throughput::default()),
        };
        Worker { control: Control::start(parts, CONTROL), models, line, double }
    }

    /// Returns the ready workers.
    pub(super) async fn workers<const N: usize>(&self, names: [&str; N]) -> [Worker; N] {
        let workers = names.map(|name| self.worker(name));
        for worker in &workers {
            worker.control.current().await.unwrap();
        }
        workers
    }

    pub(super) async fn state(&self) -> FleetState {
        self.store.fleet().await.unwrap().value
    }

    pub(super) async fn active(&self) -> PinnedModel {
        self.state().await.active.unwrap()
    }

    /// Rolls out and waits for the end.
    pub(super) async fn swap(&self, target: &Target) -> Rollout {
        let (coordinator, _line) = self.coordinator(TIMING);
        let begun = coordinator.swap(target.clone(), soon()).await.unwrap();
        self.end(&coordinator, begun).await
    }

    pub(super) async fn end(&self, coordinator: &Coordinator, begun: Begun) -> Rollout {
        let rollout = coordinator.wait(begun.id, Duration::from_secs(20)).await.unwrap().unwrap();
        assert!(rollout.is_ended(), "{rollout:?}");
        rollout
    }

    pub(super) async fn report(&self, id: &WorkerId) -> Option<WorkerReport> {
        self.store.workers().await.unwrap().into_iter().find(|report| report.id == *id)
    }

    /// Waits until the fleet has this state; fails after a while with the last state.
    pub(super) async fn until(&self, what: &str, is_so: impl Fn(&FleetState, &[WorkerReport]) -> bool) {
        let limit = Instant::now() + Duration::from_secs(20);
        loop {
            let (state, workers) = (self.state().await, self.store.workers().await.unwrap());
            if is_so(&state, &workers) {
                return;
            }
            assert!(Instant::now() < limit, "not so in time: {what}\n{state:#?}\n{workers:#?}");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The deadline of a test's orders.
pub(super) fn soon() -> Timestamp {
    Timestamp::now().after(Duration::from_secs(20))
}

/// Returns whether this worker reports this state.
pub(super) fn is(workers: &[WorkerReport], id: &WorkerId, state: WorkerState) -> bool {
    workers.iter().any(|report| report.id == *id && report.state == state)
}
