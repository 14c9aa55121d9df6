//! A broker, a store, a package, and workers on them.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser as _;
use common::broker::in_process::InProcessBroker;
use common::broker::{Broker as _, BrokerLimits};
use common::fleet::FleetState;
use common::ids::{Generation, JobId, ModelName, ModelVersion, Revision};
use common::messages::{
    EncodedImage, ImageOutcome, Job, JobRecord, JobStatus, Part, PartId, Payload, PinnedModel, Timestamp,
    WIRE_VERSION,
};
use common::package::Catalog;
use common::store::in_memory::InMemoryStore;
use common::store::{Acceptance, Store};
use image::{ImageFormat, Rgb, RgbImage};
use images::decode::DecodeLimits;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use worker::config::{Config, Program};
use worker::control::Control;
use worker::pipeline::Pipeline;
use worker::run::{Parts, RunError, Worker};

use super::engine::{CLASSES, Double, Kind, Loader, SHAPE};

/// So long that only a hang reaches it.
pub(crate) const FOREVER: Duration = Duration::from_secs(60);

/// What workers share.
pub(crate) struct Bench {
    pub(crate) broker: Arc<InProcessBroker>,
    pub(crate) store: Arc<InMemoryStore>,
    pub(crate) model: PinnedModel,
    catalog: Catalog,
    _folder: tempfile::TempDir,
}

/// A running worker.
pub(crate) struct Running {
    pub(crate) control: Arc<Control>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), RunError>>,
}

impl Bench {
    /// An empty queue and an active model.
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("double");
        fs::create_dir(&inside).unwrap();
        fs::write(inside.join("double.hdf5"), "a model").unwrap();
        fs::write(inside.join("double_config.json"), package_config()).unwrap();
        let catalog = Catalog::new(folder.path());
        let package = catalog.open(&ModelName::parse("double").unwrap()).unwrap();
        let model = PinnedModel { name: package.name, version: package.version, generation: Generation(1) };
        let store = InMemoryStore::new();
        let fleet =
            FleetState { generation: Generation(1), active: Some(model.clone()), ..FleetState::default() };
        store.replace_fleet(Revision::NONE, &fleet, None).await.unwrap();
        let broker = InProcessBroker::new(BrokerLimits {
            max_parts: 1000,
            max_bytes: None,
            call_timeout: Duration::from_secs(5),
        });
        Self { broker, store, model, catalog, _folder: folder }
    }

    /// Starts a worker with these settings.
    pub(crate) fn worker(&self, engine: &Arc<Double>, settings: &[&str]) -> Running {
        self.worker_on(Arc::clone(&self.store) as _, engine, settings)
    }

    /// Starts a worker that sees the store through another.
    pub(crate) fn worker_on(
        &self,
        store: Arc<dyn Store>,
        engine: &Arc<Double>,
        settings: &[&str],
    ) -> Running {
        Self::start(Parts { store, ..self.parts(engine) }, settings)
    }

    /// Returns a worker's components.
    pub(crate) fn parts(&self, engine: &Arc<Double>) -> Parts {
        Parts {
            broker: Arc::clone(&self.broker) as _,
            store: Arc::clone(&self.store) as _,
            catalog: self.catalog.clone(),
            loader: Arc::new(Loader(Arc::clone(engine))),
        }
    }

    /// Starts a worker of these components.
    pub(crate) fn start(parts: Parts, settings: &[&str]) -> Running {
        Self::run(Worker::start(&config(settings), parts).unwrap())
    }

    /// Starts a worker that does everything on this thread, for tests with a paused clock, which would run ahead while
    /// other threads work.
    pub(crate) fn inline_worker(&self, store: Arc<dyn Store>, engine: &Arc<Double>) -> Running {
        let parts = Parts { store, ..self.parts(engine) };
        let pipeline = Pipeline::inline(DecodeLimits::default());
        Self::run(Worker::with_pipeline(&config(&[]), parts, pipeline))
    }

    fn run(worker: Worker) -> Running {
        let stop = CancellationToken::new();
        let control = worker.control();
        let task = tokio::spawn(worker.work(stop.clone()));
        Running { control, stop, task }
    }

    /// Accepts a job of these parts and queues it.
    pub(crate) async fn submit(&self, parts: &[Vec<Bytes>]) -> JobId {
        self.submit_for(&self.model, FOREVER, parts).await
    }

    /// Accepts a job for this model with this deadline.
    pub(crate) async fn submit_for(
        &self,
        model: &PinnedModel,
        deadline: Duration,
        parts: &[Vec<Bytes>],
    ) -> JobId {
        self.submit_by(Timestamp::now(), model, deadline, parts).await
    }

    /// The same with times of a clock that shows `accepted_at`. The in-memory store uses this host's clock.
    pub(crate) async fn submit_by(
        &self,
        accepted_at: Timestamp,
        model: &PinnedModel,
        deadline: Duration,
        parts: &[Vec<Bytes>],
    ) -> JobId {
        let host = Timestamp::now();
        let record = JobRecord {
            id: JobId::random(),
            model: model.clone(),
            accepted_at: host,
            deadline: host.after(deadline),
            retention: FOREVER,
            image_ids: (0..).take(parts.iter().map(Vec::len).sum()).collect(),
            parts: u32::try_from(parts.len()).unwrap(),
            top_k: None,
            idempotency: None,
            client: None,
            file_names: None,
        };
        let fleet = self.store.fleet().await.unwrap().revision;
        assert_eq!(self.store.put_job(&record, fleet).await.unwrap(), Acceptance::Accepted);
        let mut positions = 0..;
        let mut encoded =
            |bytes: &Bytes| EncodedImage { position: positions.next().unwrap(), bytes: bytes.clone() };
        for (index, images) in (0..).zip(parts) {
            let part = Part {
                wire: WIRE_VERSION,
                id: PartId { job: record.id, index },
                model: model.clone(),
                accepted_at,
                deadline: accepted_at.after(deadline),
                top_k: None,
                traceparent: None,
                request_id: None,
                client: None,
                payload: Payload::Images(images.iter().map(&mut encoded).collect()),
            };
            self.broker.publish(part).await.unwrap();
        }
        record.id
    }

    /// Waits for a job's end.
    pub(crate) async fn ended(&self, job: JobId) -> JobStatus {
        let ended = self.store.wait(self.store.watch(job), FOREVER).await.unwrap().expect("the job is known");
        assert!(Job::is_finished(&ended), "{ended:?}");
        ended.status
    }

    /// Waits for a job's results: labels, or the codes of errors.
    pub(crate) async fn labels(&self, job: JobId) -> Vec<String> {
        match self.ended(job).await {
            JobStatus::Done { outcomes, .. } => outcomes
                .into_iter()
                .map(|outcome| match outcome {
                    ImageOutcome::Classified { best, .. } => best.label,
                    ImageOutcome::Rejected(error) => error.code.to_string(),
                })
                .collect(),
            other @ (JobStatus::Queued | JobStatus::Processing | JobStatus::Failed { .. }) => {
                panic!("expected results, got {other:?}")
            }
        }
    }

    /// Asserts that the queue is empty.
    pub(crate) async fn assert_nothing_waits(&self) {
        assert_eq!(self.broker.depth().await.unwrap().waiting, 0);
    }
}

impl Running {
    /// Stops it and waits until it has ended.
    pub(crate) async fn stop(self) -> Result<(), RunError> {
        self.stop.cancel();
        tokio::time::timeout(FOREVER, self.task).await.expect("it leaves").unwrap()
    }

    /// Stops it.
    pub(crate) fn tell_to_stop(&self) {
        self.stop.cancel();
    }

    /// Kills it.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.is_err_and(|error| error.is_cancelled()));
    }
}

/// A worker's settings, most of them by default. The config of the package.
pub(crate) fn package_config() -> String {
    let classes: Vec<String> = (0..CLASSES).map(|number| format!("\"label {number}\"")).collect();
    format!(
        r#"{{"img_preproc_type": "no_prepro", "image_preproc_config": {{"input_shape": {SHAPE:?}}},
            "output_postproc_type": "argmax", "output_config": {{"output_classes": [{}]}}}}"#,
        classes.join(", ")
    )
}

fn config(settings: &[&str]) -> Config {
    let words = std::iter::once("classifier-worker").chain(settings.iter().copied());
    Program::try_parse_from(words).unwrap().worker
}

/// A version that no package has.
pub(crate) fn other_version(model: &PinnedModel) -> PinnedModel {
    PinnedModel { version: ModelVersion::from_digest([7; 32]), ..model.clone() }
}

/// Returns an image that makes the model do this and return that label.
pub(crate) fn png(kind: Kind, label: u8) -> Bytes {
    let [height, width, _] = SHAPE.map(|side| u32::try_from(side).unwrap());
    let pixels = RgbImage::from_pixel(width, height, Rgb([kind as u8, 0, label]));
    let mut file = std::io::Cursor::new(Vec::new());
    pixels.write_to(&mut file, ImageFormat::Png).unwrap();
    file.into_inner().into()
}

/// Parts of ordinary images with these labels.
pub(crate) fn parts(labels: &[&[u8]]) -> Vec<Vec<Bytes>> {
    labels.iter().map(|part| part.iter().map(|label| png(Kind::Normal, *label)).collect()).collect()
}

/// Formats a label as in a result.
pub(crate) fn named(labels: impl IntoIterator<Item = u8>) -> Vec<String> {
    labels.into_iter().map(|label| format!("label {label}")).collect()
}
