//! Dynamic batching: images that wait for a model become batches.
//!
//! [`Lanes`] decides, without clock or thread: what to run next, given who waits and what time it is.
//! [`Batcher`] does what it says on its own threads, each of which runs one batch at a time.
//!
//! A batch starts as soon as a thread is free and either it is full or its first image has waited for
//! [`BatchLimits::max_delay`], which is zero unless set. So an idle worker adds no delay, and a busy one
//! makes larger batches the more waits. Images are copied into the batch they will run in when they
//! arrive, while other batches run: a free thread finds its next batch assembled.

mod engine_call;

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::ids::ModelVersion;
use common::telemetry::names;
use tokio::sync::oneshot;

use crate::engine::{Engine, EngineError};

/// How large a batch may become and how long it may be waited for.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    /// Most images in one call of the model, at least 1.
    pub max_images: usize,
    /// How long the first image of a batch that is not full waits for others while a thread is free.
    pub max_delay: Duration,
}

/// Images that wait, in a lane for each model version, so that no batch mixes two.
pub struct Lanes<T> {
    limits: BatchLimits,
    /// In order of their turn: a lane that got a batch through goes to the end.
    lanes: VecDeque<Lane<T>>,
}

struct Lane<T> {
    version: ModelVersion,
    /// Batches that may run at a time, and those that do.
    at_once: usize,
    running: usize,
    /// Oldest first; all but the last are full.
    forming: VecDeque<Forming<T>>,
}

struct Forming<T> {
    since: Instant,
    pixels: Vec<f32>,
    tickets: Vec<T>,
}

/// An image that comes to wait.
pub struct Arrival<'a, T> {
    /// Of its model.
    pub version: &'a ModelVersion,
    /// Batches of this model that may run at a time.
    pub at_once: usize,
    /// Its preprocessed values, for every image of the version as many.
    pub pixels: Vec<f32>,
    /// What it is known by.
    pub ticket: T,
}

/// What is to be done now.
#[derive(Debug, PartialEq)]
pub enum Next<T> {
    /// Run this batch, and say when it is [finished](Lanes::finished).
    Run(Formed<T>),
    /// Look again when something arrives or is finished, at the latest at this moment.
    WaitUntil(Instant),
    /// Look again when something arrives or is finished.
    Idle,
}

/// A batch that was formed: images of one version in the order in which they came.
#[derive(Debug, PartialEq)]
pub struct Formed<T> {
    /// Of their model.
    pub version: ModelVersion,
    /// Their preprocessed values, one image after the other.
    pub pixels: Vec<f32>,
    /// What they are known by.
    pub tickets: Vec<T>,
}

impl<T> Lanes<T> {
    /// Nothing waits.
    #[must_use]
    pub fn new(limits: BatchLimits) -> Self {
        Self { limits, lanes: VecDeque::new() }
    }

    /// An image arrives.
    pub fn push(&mut self, arrival: Arrival<'_, T>, now: Instant) {
        let Arrival { version, at_once, pixels, ticket } = arrival;
        let index = self.lanes.iter().position(|lane| lane.version == *version).unwrap_or_else(|| {
            let version = version.clone();
            self.lanes.push_back(Lane { version, at_once, running: 0, forming: VecDeque::new() });
            self.lanes.len() - 1
        });
        let forming = &mut self.lanes[index].forming;
        match forming.back_mut().filter(|last| last.tickets.len() < self.limits.max_images) {
            Some(last) => {
                last.pixels.extend_from_slice(&pixels);
                last.tickets.push(ticket);
            }
            None => forming.push_back(Forming { since: now, pixels, tickets: vec![ticket] }),
        }
    }

    /// Decides for a thread that is free.
    pub fn next(&mut self, now: Instant) -> Next<T> {
        let limits = self.limits;
        let due = |lane: &Lane<T>| lane.due(limits);
        let Some(index) = self.lanes.iter().position(|lane| due(lane).is_some_and(|due| due <= now)) else {
            return self.lanes.iter().filter_map(due).min().map_or(Next::Idle, Next::WaitUntil);
        };
        let formed = self.lanes.remove(index).and_then(|mut lane| {
            let oldest = lane.forming.pop_front();
            let version = lane.version.clone();
            lane.running += 1;
            self.lanes.push_back(lane);
            oldest.map(|Forming { pixels, tickets, .. }| Formed { version, pixels, tickets })
        });
        formed.map_or(Next::Idle, Next::Run)
    }

    /// A batch of this version was run.
    pub fn finished(&mut self, version: &ModelVersion) {
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.version == *version) {
            lane.running = lane.running.saturating_sub(1);
        }
        self.lanes.retain(|lane| lane.running > 0 || !lane.forming.is_empty());
    }
}

impl<T> Lane<T> {
    /// When its oldest batch may run; none while it has none, or while as many run as may.
    fn due(&self, limits: BatchLimits) -> Option<Instant> {
        let oldest = self.forming.front().filter(|_| self.running < self.at_once)?;
        let full = oldest.tickets.len() >= limits.max_images;
        Some(if full { oldest.since } else { oldest.since + limits.max_delay })
    }
}

/// One image's place in a batch, and where its scores go.
pub struct Ticket {
    /// What runs it.
    pub engine: Arc<dyn Engine>,
    /// Height, width and channels.
    pub shape: [usize; 3],
    /// Gets the scores of this image, or why there are none.
    pub reply: oneshot::Sender<Result<Vec<f32>, EngineError>>,
    /// When it was submitted.
    pub since: Instant,
}

/// Forms batches and runs them on threads of its own. Dropped, it runs nothing more.
pub struct Batcher {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    lanes: Lanes<Ticket>,
    closed: bool,
}

impl Batcher {
    /// Starts `threads` threads, as many as model calls may run at once.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(limits: BatchLimits, threads: usize) -> std::io::Result<Self> {
        let state = State { lanes: Lanes::new(limits), closed: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        // Made first: should a thread fail to start, dropping it ends those that did.
        let batcher = Self { shared: Arc::clone(&shared) };
        for number in 0..threads.max(1) {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name(format!("inference-{number}"))
                .spawn(move || shared.run_batches())?;
        }
        Ok(batcher)
    }

    /// Puts an image in line for its model.
    pub fn submit(&self, version: &ModelVersion, pixels: Vec<f32>, ticket: Ticket) {
        let expected = ticket.shape.iter().product::<usize>();
        if pixels.len() != expected {
            let problem = format!("the image has {} values, expected {expected}", pixels.len());
            // Nobody listening any more is no fault.
            let _ = ticket.reply.send(Err(EngineError(problem)));
            return;
        }
        metrics::gauge!(names::BATCH_QUEUE_IMAGES).increment(1.0);
        let at_once = calls_at_once(ticket.engine.device());
        let arrival = Arrival { version, at_once, pixels, ticket };
        self.shared.state().lanes.push(arrival, Instant::now());
        self.shared.changed.notify_one();
    }
}

impl Drop for Batcher {
    fn drop(&mut self) {
        self.shared.state().closed = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run_batches(&self) {
        while let Some(formed) = self.next() {
            metrics::gauge!(names::BATCH_QUEUE_IMAGES).decrement(count(formed.tickets.len()));
            let version = formed.version.clone();
            engine_call::run(formed);
            self.state().lanes.finished(&version);
            // This thread may take another model's batch next; one of this model may have become free.
            self.changed.notify_one();
        }
    }

    /// The next batch, once it is due; `None` when the batcher is gone.
    fn next(&self) -> Option<Formed<Ticket>> {
        let mut state = self.state();
        loop {
            if state.closed {
                return None;
            }
            let now = Instant::now();
            state = match state.lanes.next(now) {
                Next::Run(formed) => return Some(formed),
                Next::WaitUntil(moment) => {
                    let wait = moment.saturating_duration_since(now);
                    let woken = self.changed.wait_timeout(state, wait);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                Next::Idle => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

/// How many calls of one model are worth running at once. A GPU computes one after the other: a second
/// call keeps it busy while the first one's answer is fetched, more would only make smaller batches. A CPU
/// takes as many as there are threads.
fn calls_at_once(device: &str) -> usize {
    if device.starts_with("gpu") { 2 } else { usize::MAX }
}

/// A count as the metrics want it.
#[expect(clippy::cast_precision_loss, reason = "a count of images is far below 2^52")]
fn count(images: usize) -> f64 {
    images as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BatchLimits = BatchLimits { max_images: 3, max_delay: Duration::from_millis(10) };

    fn version(number: u8) -> ModelVersion {
        ModelVersion::from_digest([number; 32])
    }

    /// Pushes images numbered so, each of one value: its number.
    fn push(lanes: &mut Lanes<u8>, model: u8, numbers: std::ops::Range<u8>, now: Instant) {
        for number in numbers {
            let (pixels, ticket) = (vec![f32::from(number)], number);
            lanes.push(Arrival { version: &version(model), at_once: 2, pixels, ticket }, now);
        }
    }

    fn tickets(next: Next<u8>) -> Vec<u8> {
        match next {
            Next::Run(formed) => {
                let values: Vec<f32> = formed.tickets.iter().copied().map(f32::from).collect();
                assert_eq!(formed.pixels, values, "pixels and tickets belong together");
                formed.tickets
            }
            other @ (Next::WaitUntil(_) | Next::Idle) => panic!("expected a batch, got {other:?}"),
        }
    }

    #[test]
    fn without_a_delay_whatever_waits_runs_at_once() {
        let now = Instant::now();
        let mut lanes = Lanes::new(BatchLimits { max_delay: Duration::ZERO, ..LIMITS });
        assert_eq!(lanes.next(now), Next::Idle);
        push(&mut lanes, 1, 0..1, now);
        assert_eq!(tickets(lanes.next(now)), [0]);
        assert_eq!(lanes.next(now), Next::Idle);
    }

    #[test]
    fn what_gathers_while_nothing_is_free_runs_together_up_to_the_limit() {
        let now = Instant::now();
        let mut lanes = Lanes::new(BatchLimits { max_delay: Duration::ZERO, ..LIMITS });
        push(&mut lanes, 1, 0..7, now);
        assert_eq!(tickets(lanes.next(now)), [0, 1, 2]);
        assert_eq!(tickets(lanes.next(now)), [3, 4, 5]);
        lanes.finished(&version(1));
        assert_eq!(tickets(lanes.next(now)), [6]);
    }

    #[test]
    fn no_more_batches_of_a_model_run_at_once_than_it_wants() {
        let now = Instant::now();
        let mut lanes = Lanes::new(BatchLimits { max_delay: Duration::ZERO, ..LIMITS });
        push(&mut lanes, 1, 0..7, now);
        push(&mut lanes, 2, 10..11, now);
        assert_eq!(tickets(lanes.next(now)), [0, 1, 2]);
        assert_eq!(tickets(lanes.next(now)), [10]);
        assert_eq!(tickets(lanes.next(now)), [3, 4, 5]);
        assert_eq!(lanes.next(now), Next::Idle, "two of the first model run");
        lanes.finished(&version(2));
        assert_eq!(lanes.next(now), Next::Idle);
        push(&mut lanes, 1, 7..8, now);
        lanes.finished(&version(1));
        assert_eq!(tickets(lanes.next(now)), [6, 7]);
    }

    #[test]
    fn a_batch_that_is_not_full_waits_for_the_delay_of_its_first_image() {
        let now = Instant::now();
        let mut lanes = Lanes::new(LIMITS);
        push(&mut lanes, 1, 0..1, now);
        push(&mut lanes, 1, 1..2, now + Duration::from_millis(9));
        assert_eq!(
            lanes.next(now + Duration::from_millis(9)),
            Next::WaitUntil(now + Duration::from_millis(10))
        );
        assert_eq!(tickets(lanes.next(now + Duration::from_millis(10))), [0, 1]);
    }

    #[test]
    fn a_full_batch_does_not_wait() {
        let now = Instant::now();
        let mut lanes = Lanes::new(LIMITS);
        push(&mut lanes, 1, 0..4, now);
        assert_eq!(tickets(lanes.next(now)), [0, 1, 2]);
        assert_eq!(lanes.next(now), Next::WaitUntil(now + Duration::from_millis(10)));
    }

    #[test]
    fn a_batch_holds_one_version_and_versions_take_turns() {
        let now = Instant::now();
        let mut lanes = Lanes::new(BatchLimits { max_delay: Duration::ZERO, ..LIMITS });
        push(&mut lanes, 1, 0..7, now);
        push(&mut lanes, 2, 10..12, now);
        push(&mut lanes, 1, 7..8, now);
        assert_eq!(tickets(lanes.next(now)), [0, 1, 2]);
        assert_eq!(tickets(lanes.next(now)), [10, 11]);
        assert_eq!(tickets(lanes.next(now)), [3, 4, 5]);
        lanes.finished(&version(1));
        push(&mut lanes, 2, 12..13, now);
        assert_eq!(tickets(lanes.next(now)), [12]);
        assert_eq!(tickets(lanes.next(now)), [6, 7]);
    }

    #[test]
    fn a_lane_that_is_due_is_not_held_up_by_one_that_waits() {
        let now = Instant::now();
        let mut lanes = Lanes::new(LIMITS);
        push(&mut lanes, 1, 0..1, now);
        push(&mut lanes, 2, 10..13, now);
        assert_eq!(tickets(lanes.next(now)), [10, 11, 12]);
        assert_eq!(lanes.next(now), Next::WaitUntil(now + Duration::from_millis(10)));
    }
}
