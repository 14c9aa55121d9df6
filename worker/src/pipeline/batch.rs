//! Dynamic batching: groups waiting images into batches.
//!
//! `lanes` decides, without clock or thread, what to run next. [`Batcher`] runs it on its own threads, each of which
//! runs one batch at a time.
//!
//! A batch starts when a thread is free and either the batch is full or its first image has waited for
//! [`BatchLimits::max_delay`], which is zero by default. So an idle worker adds no delay, and a busy one makes larger
//! batches the more images wait. Images that are being decoded are always waited for, a moment at most. A thread for a
//! CPU takes its share of a batch and leaves the rest to the others, so that the images of one request finish at about
//! the same time.

mod engine_call;
mod lanes;
mod occupancy;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::telemetry::names;
use tokio::sync::oneshot;

use self::lanes::{Arrival, Formed, Lanes, Next};
use self::occupancy::Occupancy;
pub use self::occupancy::Occupant;
use crate::served::ServedModel;
use engine::{Batch, EngineError, Pixels};

/// The size of a batch, and how long it waits to fill.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    /// Most images in one call of the model, at least 1.
    pub max_images: usize,
    /// How long the first image of a batch that is not full waits for others while a thread is free.
    pub max_delay: Duration,
}
/// The data of a waiting image, beside its pixels.
pub struct Ticket {
    /// The model.
    pub model: Arc<ServedModel>,
    /// Gets the scores of this image, or why there are none.
    pub reply: oneshot::Sender<Result<Vec<f32>, EngineError>>,
    /// When it was submitted.
    pub since: Instant,
    /// Counts the image in the pipeline, from before it was decoded.
    pub occupant: Occupant,
}

/// Forms batches and runs them on its own threads. After it is dropped, no batch starts.
pub struct Batcher {
    shared: Arc<Shared>,
}

struct Shared {
    occupancy: Occupancy,
    state: Mutex<State>,
    /// One per thread.
    wakers: Vec<Condvar>,
}

struct State {
    lanes: Lanes<Ticket>,
    /// Idle threads, the one that ran last at the end. It is woken first: the model's data in its core's cache and its
    /// memory save a tenth of a run.
    idle: Vec<usize>,
    closed: bool,
}

impl Batcher {
    /// Starts `threads` threads, the number of concurrent model calls.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(limits: BatchLimits, threads: usize) -> std::io::Result<Self> {
        let threads = threads.max(1);
        let state = State { lanes: Lanes::new(limits, threads), idle: Vec::new(), closed: false };
        let shared = Arc::new(Shared {
            occupancy: Occupancy::default(),
            state: Mutex::new(state),
            wakers: std::iter::repeat_with(Condvar::new).take(threads).collect(),
        });
        // Created first: if a thread fails to start, dropping it ends the others.
        let batcher = Self { shared: Arc::clone(&shared) };
        for number in 0..threads {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name(format!("inference-{number}"))
                .spawn(move || shared.run_batches(number))?;
        }
        Ok(batcher)
    }

    /// Counts an image that will be submitted.
    #[must_use]
    pub fn announce(&self) -> Occupant {
        self.shared.occupancy.announce(Instant::now())
    }

    /// Queues an image for its model.
    pub fn submit(&self, pixels: impl Into<Pixels>, ticket: Ticket) {
        let (pixels, mut ticket) = (pixels.into(), ticket);
        ticket.occupant.set_decoded();
        let model = Arc::clone(&ticket.model);
        let expected = model.package.config.preprocessing.input_shape.iter().product::<usize>();
        if pixels.len() != expected {
            let problem = format!("the image has {} values, expected {expected}", pixels.len());
            // If the receiver is gone, nothing has to be done.
            let _ = ticket.reply.send(Err(EngineError(problem)));
            return;
        }
        metrics::gauge!(names::BATCH_QUEUE_IMAGES).increment(1.0);
        let calls = model.engine.calls();
        let version = &model.package.version;
        let arrival = Arrival { version, calls, pixels, ticket };
        let mut state = self.shared.state();
        state.lanes.push(arrival, Instant::now());
        self.shared.wake_one(&mut state);
    }
}

impl Drop for Batcher {
    fn drop(&mut self) {
        self.shared.state().closed = true;
        self.shared.wakers.iter().for_each(Condvar::notify_all);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes an idle thread.
    fn wake_one(&self, state: &mut State) {
        if let Some(number) = state.idle.pop() {
            self.wakers[number].notify_one();
        }
    }

    fn run_batches(&self, number: usize) {
        while let Some((formed, alone)) = self.next(number) {
            metrics::gauge!(names::BATCH_QUEUE_IMAGES).decrement(count(formed.tickets.len()));
            let version = formed.version.clone();
            engine_call::run(formed, alone);
            let mut state = self.state();
            state.lanes.finished(&version);
            // This thread may take another model's batch next, and a call of this model has become free.
            if state.lanes.is_waited_in() {
                self.wake_one(&mut state);
            }
        }
    }

    /// Returns the next batch, once it is due, and whether it is [alone](engine::Batch::alone); `None` after the
    /// batcher is dropped.
    fn next(&self, number: usize) -> Option<(Formed<Ticket>, bool)> {
        let mut state = self.state();
        loop {
            if state.closed {
                return None;
            }
            let now = Instant::now();
            let limit = match state.lanes.next(self.occupancy.undecoded(), now) {
                Next::Run(formed) => return Some((formed, self.occupancy.is_single(now))),
                Next::WaitUntil(moment) => Some(moment.saturating_duration_since(now)),
                Next::Idle => None,
            };
            state.idle.push(number);
            let waker = &self.wakers[number];
            state = match limit {
                Some(limit) => waker.wait_timeout(state, limit).unwrap_or_else(PoisonError::into_inner).0,
                None => waker.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
            // After a timeout it is still in the list.
            state.idle.retain(|idle| *idle != number);
        }
    }
}

/// Runs one image through its model, on this thread.
///
/// # Errors
/// The model could not compute.
pub(super) fn run_alone(model: &ServedModel, pixels: Pixels) -> Result<Vec<f32>, EngineError> {
    let shape = model.package.config.preprocessing.input_shape;
    engine_call::call(model, &Batch::new(1, shape, pixels)).map(|scores| scores.values)
}

/// Converts a count for the metrics.
#[expect(clippy::cast_precision_loss, reason = "a count of images is far below 2^52")]
fn count(images: usize) -> f64 {
    images as f64
}
