//! How images are batched.

use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use common::ids::{ModelName, ModelVersion};
use common::package::{ModelConfig, ModelFile, ModelFormat, Package};
use engine::{Batch, Device, Engine, EngineError, Scores};
use tokio::sync::oneshot;
use worker::pipeline::batch::{BatchLimits, Batcher, Occupant, Ticket};
use worker::served::ServedModel;

use super::bench::{Bench, named, package_config, png};
use super::engine::{Double, Kind, SHAPE};

const LIMITS: BatchLimits = BatchLimits { max_images: 4, max_delay: Duration::ZERO };

type Reply = oneshot::Receiver<Result<Vec<f32>, EngineError>>;

/// A package of this version, run by this engine.
fn served(engine: Arc<dyn Engine>, version: u8) -> Arc<ServedModel> {
    let package = Package {
        name: ModelName::parse("double").unwrap(),
        version: ModelVersion::from_digest([version; 32]),
        config: ModelConfig::parse(package_config().as_bytes()).unwrap(),
        model: ModelFile { path: "double.h5".into(), format: ModelFormat::Hdf5 },
    };
    Arc::new(ServedModel::new(package, engine))
}

/// Submits ordinary images with these labels.
fn submit(batcher: &Batcher, engine: &Arc<Double>, model: u8, labels: std::ops::Range<u8>) -> Vec<Reply> {
    let values = |label| {
        let pixel = [f32::from(label), 0.0, 0.0];
        pixel.repeat(SHAPE[0] * SHAPE[1])
    };
    let model = served(Arc::clone(engine) as Arc<dyn Engine>, model);
    labels
        .map(|label| {
            let (reply, answer) = oneshot::channel();
            let occupant = batcher.announce();
            let ticket = Ticket { model: Arc::clone(&model), reply, since: Instant::now(), occupant };
            batcher.submit(values(label), ticket);
            answer
        })
        .collect()
}

#[tokio::test]
async fn images_that_gather_while_the_model_runs_share_its_next_calls() {
    let (engine, mut ears) = Double::new();
    engine.hold();
    let batcher = Batcher::start(LIMITS, 1).unwrap();
    let mut replies = submit(&batcher, &engine, 1, 0..1);
    assert_eq!(ears.entered.recv().await.unwrap(), [0], "the first does not wait");
    replies.extend(submit(&batcher, &engine, 1, 1..7));
    engine.release();
    for (label, reply) in replies.into_iter().enumerate() {
        assert_eq!(reply.await.unwrap().unwrap()[label], 1.0);
    }
    assert_eq!(engine.calls(), [vec![0], vec![1, 2], vec![3, 4], vec![5, 6]]);
}

#[tokio::test]
async fn no_batch_mixes_versions_and_none_is_starved() {
    let (engine, mut ears) = Double::new();
    engine.hold();
    let batcher = Batcher::start(LIMITS, 1).unwrap();
    let mut replies = submit(&batcher, &engine, 1, 0..1);
    ears.entered.recv().await.unwrap();
    replies.extend(submit(&batcher, &engine, 1, 1..9));
    replies.extend(submit(&batcher, &engine, 2, 9..11));
    engine.release();
    for reply in replies {
        reply.await.unwrap().unwrap();
    }
    assert_eq!(engine.calls(), [vec![0], vec![1, 2], vec![9, 10], vec![3, 4], vec![5, 6], vec![7, 8]]);
}

/// Records each batch's thread and whether it was alone.
#[derive(Default)]
struct Witness(Mutex<Vec<(ThreadId, bool)>>);

impl Engine for Witness {
    fn predict(&self, batch: &Batch) -> Result<Scores, EngineError> {
        self.0.lock().unwrap().push((thread::current().id(), batch.alone));
        Ok(Scores { classes: 1, values: vec![1.0; batch.images] })
    }

    fn device(&self) -> &Device {
        &Device::Cpu
    }
}

impl Witness {
    /// Waits for the scores of one image.
    async fn sees(self: &Arc<Self>, batcher: &Batcher, occupant: Occupant) {
        let (reply, answer) = oneshot::channel();
        let model = served(Arc::clone(self) as Arc<dyn Engine>, 1);
        let ticket = Ticket { model, reply, since: Instant::now(), occupant };
        batcher.submit(vec![0.0; 12], ticket);
        answer.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn the_model_is_told_whether_an_image_is_alone() {
    let witness = Arc::new(Witness::default());
    let batcher = Batcher::start(LIMITS, 1).unwrap();
    witness.sees(&batcher, batcher.announce()).await;
    let (first, second) = (batcher.announce(), batcher.announce());
    witness.sees(&batcher, first).await;
    witness.sees(&batcher, second).await;
    let alone: Vec<bool> = witness.0.lock().unwrap().iter().map(|(_, alone)| *alone).collect();
    assert_eq!(alone, [true, false, false], "the last one met the one before");
}

#[tokio::test]
async fn images_that_come_one_at_a_time_keep_to_one_thread() {
    let witness = Arc::new(Witness::default());
    let batcher = Batcher::start(LIMITS, 4).unwrap();
    for _ in 0..20 {
        // Until the threads are idle again.
        tokio::time::sleep(Duration::from_millis(20)).await;
        witness.sees(&batcher, batcher.announce()).await;
    }
    let threads: Vec<ThreadId> = witness.0.lock().unwrap().iter().map(|(thread, _)| *thread).collect();
    assert!(threads.iter().all(|thread| *thread == threads[0]), "{threads:?}");
}

#[tokio::test]
async fn an_image_of_another_size_than_its_model_is_refused() {
    let (engine, _ears) = Double::new();
    let batcher = Batcher::start(LIMITS, 1).unwrap();
    let (reply, answer) = oneshot::channel();
    let occupant = batcher.announce();
    let ticket = Ticket { model: served(engine.clone(), 1), reply, since: Instant::now(), occupant };
    batcher.submit(vec![0.0; 11], ticket);
    let error = answer.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the image has 11 values, expected 12");
    assert!(engine.calls().is_empty());
}

#[tokio::test]
async fn as_many_calls_run_at_once_as_there_are_inference_threads() {
    let bench = Bench::new().await;
    let (engine, _ears) = Double::new();
    let worker = bench.worker(&engine, &["--inference-threads=2", "--max-batch-size=1"]);
    // Either call ends only while another runs.
    let job = bench.submit(&[vec![png(Kind::Pairs, 1), png(Kind::Pairs, 2)]]).await;
    assert_eq!(bench.labels(job).await, named([1, 2]));
    worker.stop().await.unwrap();
}
