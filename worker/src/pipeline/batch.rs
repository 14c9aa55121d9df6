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
    /// Oldest first; all but the last are full. Never empty.
    forming: VecDeque<Forming<T>>,
}

struct Forming<T> {
    since: Instant,
    pixels: Vec<f32>,
    tickets: Vec<T>,
}

/// What is to be done now.
#[derive(Debug, PartialEq)]
pub enum Next<T> {
    /// Run this batch.
    Run(Formed<T>),
    /// Look again when something arrives, at the latest at this moment.
    WaitUntil(Instant),
    /// Look again when something arrives.
    Idle,
}

/// A batch that was formed: images of one version in the order in which they came.
#[derive(Debug, PartialEq)]
pub struct Formed<T> {
    /// Their preprocessed values, one image after the other.
    pub pixels: Vec<f32>,
    /// What they were pushed with.
    pub tickets: Vec<T>,
}

impl<T> Lanes<T> {
    /// Nothing waits.
    #[must_use]
    pub fn new(limits: BatchLimits) -> Self {
        Self { limits, lanes: VecDeque::new() }
    }

    /// An image arrives. All images of a version have the same number of values.
    pub fn push(&mut self, version: &ModelVersion, image: (Vec<f32>, T), now: Instant) {
        let index = self.lanes.iter().position(|lane| lane.version == *version).unwrap_or_else(|| {
            self.lanes.push_back(Lane { version: version.clone(), forming: VecDeque::new() });
            self.lanes.len() - 1
        });
        let forming = &mut self.lanes[index].forming;
        let (pixels, ticket) = image;
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
        let due = |lane: &Lane<T>| {
            let oldest = &lane.forming[0];
            match oldest.tickets.len() >= self.limits.max_images {
                true => oldest.since,
                false => oldest.since + self.limits.max_delay,
            }
        };
        let Some(index) = self.lanes.iter().position(|lane| due(lane) <= now) else {
            return self.lanes.iter().map(due).min().map_or(Next::Idle, Next::WaitUntil);
        };
        let formed = self.lanes.remove(index).and_then(|mut lane| {
            let oldest = lane.forming.pop_front();
            if !lane.forming.is_empty() {
                self.lanes.push_back(lane);
            }
            oldest
        });
        formed.map_or(Next::Idle, |Forming { pixels, tickets, .. }| Next::Run(Formed { pixels, tickets }))
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
    arrived: Condvar,
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
        let shared = Arc::new(Shared { state: Mutex::new(state), arrived: Condvar::new() });
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
        self.shared.state().lanes.push(version, (pixels, ticket), Instant::now());
        self.shared.arrived.notify_one();
    }
}

impl Drop for Batcher {
    fn drop(&mut self) {
        self.shared.state().closed = true;
        self.shared.arrived.notify_all();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run_batches(&self) {
        while let Some(formed) = self.next() {
            metrics::gauge!(names::BATCH_QUEUE_IMAGES).decrement(count(formed.tickets.len()));
            engine_call::run(formed);
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
                    let woken = self.arrived.wait_timeout(state, wait);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                Next::Idle => self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
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
            lanes.push(&version(model), (vec![f32::from(number)], number), now);
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
        assert_eq!(tickets(lanes.next(now)), [6]);
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
        push(&mut lanes, 2, 12..13, now);
        assert_eq!(tickets(lanes.next(now)), [6, 7]);
        assert_eq!(tickets(lanes.next(now)), [12]);
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
