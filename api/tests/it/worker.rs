//! A fake worker: it takes parts as a real one does, and the bytes of an image decide its result. It follows swaps as
//! the model's name tells.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use common::broker::{Broker, Delivery};
use common::fleet::{LoadedModel, Phase, Preparation, PreparationState, WorkerReport, WorkerState};
use common::ids::WorkerId;
use common::messages::{
    EncodedImage, ImageError, ImageOutcome, JobFailure, LabelScore, Part, PartEnd, PartResult, StageTimes,
    Timestamp,
};
use common::store::{Store, Wanted};
use testing::samples::images;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

pub(crate) struct TestWorker {
    pub(crate) id: WorkerId,
    /// An image `slow` waits for a permit.
    pub(crate) gate: Arc<Semaphore>,
    /// Every part that was run.
    pub(crate) seen: Arc<Mutex<Vec<Part>>>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for TestWorker {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl TestWorker {
    pub(crate) async fn start(name: &str, broker: Arc<dyn Broker>, store: Arc<dyn Store>) -> Self {
        let id = WorkerId::from(name.to_owned());
        let gate = Arc::new(Semaphore::new(0));
        let seen = Arc::new(Mutex::new(Vec::new()));
        report(store.as_ref(), &id).await;
        let work = Work { id: id.clone(), store: Arc::clone(&store), gate: gate.clone(), seen: seen.clone() };
        let tasks = [tokio::spawn(run(work, broker)), tokio::spawn(follow(store, id.clone()))];
        Self { id, gate, seen, tasks }
    }
}

/// Polls the fleet's state, as hints may be missed.
async fn follow(store: Arc<dyn Store>, id: WorkerId) {
    loop {
        report(store.as_ref(), &id).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn report(store: &dyn Store, id: &WorkerId) {
    let Ok(fleet) = store.fleet().await else { return };
    let fleet = fleet.value;
    let preparing = fleet.rollout.as_ref().filter(|rollout| rollout.phase == Phase::Preparing);
    let preparation = preparing.map(|rollout| Preparation {
        generation: rollout.generation,
        rollout: Some(rollout.id()),
        state: match rollout.target.name.as_str() {
            "unservable" => PreparationState::Unservable {
                problems: vec!["layer `a` is unknown".to_owned(), "layer `b` is unknown".to_owned()],
            },
            "broken" => PreparationState::Failed { reason: "out of memory".to_owned() },
            "never" => PreparationState::Loading,
            _ => PreparationState::Prepared,
        },
    });
    let now = Timestamp::now();
    let report = WorkerReport {
        id: id.clone(),
        host: "host".to_owned(),
        state: WorkerState::Ready,
        device: "cpu".to_owned(),
        loaded: fleet.active.iter().map(LoadedModel::active).collect(),
        generation: fleet.active.map(|active| active.generation),
        preparation,
        problem: None,
        found: None,
        clock_offset_ms: None,
        images_per_second: 20.0,
        parts_per_second: 0.5,
        images_total: 7,
        started_at: now,
        reported_at: now,
    };
    // Retried while the store is out of reach.
    let _ = store.report_worker(&report, Duration::from_secs(30)).await;
}

struct Work {
    id: WorkerId,
    store: Arc<dyn Store>,
    gate: Arc<Semaphore>,
    seen: Arc<Mutex<Vec<Part>>>,
}

async fn run(work: Work, broker: Arc<dyn Broker>) {
    let mut consumer = broker.consume(4).await.unwrap();
    while let Ok(Some(delivery)) = consumer.next().await {
        work.do_part(delivery).await;
    }
}

impl Work {
    async fn do_part(&self, delivery: Delivery) {
        let part = delivery.part;
        if self.store.begin_part(part.id).await.unwrap() == Wanted::Yes {
            self.seen.lock().unwrap().push(part.clone());
            let end = self.end_of(&part).await;
            let times = StageTimes { queue: 1500, decode: 250, inference: 3000 };
            let result = PartResult { end, worker: self.id.clone(), times };
            self.store.put_part(part.id, &result).await.unwrap();
        }
        delivery.acknowledge.ack().await.unwrap();
    }

    async fn end_of(&self, part: &Part) -> PartEnd {
        let mut outcomes = Vec::new();
        for image in images(part) {
            let failure = match image.bytes.as_ref() {
                b"boom" => Some(JobFailure::Internal),
                b"gone" => Some(JobFailure::ModelUnavailable),
                b"late" => Some(JobFailure::DeadlineExceeded),
                b"slow" => {
                    self.gate.acquire().await.unwrap().forget();
                    None
                }
                _ => None,
            };
            if let Some(failure) = failure {
                return PartEnd::Failed(failure, format!("the stand-in ends it as {failure:?}"));
            }
            outcomes.push((image.position, outcome(image, part.top_k)));
        }
        PartEnd::Done(outcomes)
    }
}

fn outcome(image: &EncodedImage, top_k: Option<NonZeroU32>) -> ImageOutcome {
    let rejected =
        |code: &str, detail: &str| ImageOutcome::Rejected(ImageError::new(code.to_owned().into(), detail));
    match image.bytes.as_ref() {
        b"bad" => rejected("undecodable_image", "the image is no image"),
        b"huge" => rejected("image_too_large", "the image has 1000000000 pixels, expected at most 50000000"),
        bytes => {
            let best = LabelScore { label: String::from_utf8_lossy(bytes).into_owned(), score: 0.75 };
            let other = LabelScore { label: "other".to_owned(), score: 0.25 };
            let scores =
                [best.clone(), other].into_iter().take(top_k.map_or(0, |k| k.get() as usize)).collect();
            ImageOutcome::Classified { best, scores, labels: None }
        }
    }
}
