//! Dynamic batching: images that wait for a model become batches.
//!
//! `lanes` decides, without clock or thread: what to run next, given who waits and what time it is. [`Batcher`] does
//! what it says on its own threads, each of which runs one batch at a time.
//!
//! A batch starts as soon as a thread is free and either it is full or its first image has waited for
//! [`BatchLimits::max_delay`], which is zero unless set. So an idle worker adds no delay, and a busy one makes larger
//! batches the more waits. Only images that are being decoded are waited for in any case, a moment at most. Of a batch
//! for a CPU a thread takes its share and leaves the rest to the others, so that the images of one request are done at
//! about the same time.

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

/// How large a batch may become and how long it may be waited for.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    /// Most images in one call of the model, at least 1.
    pub max_images: usize,
    /// How long the first image of a batch that is not full waits for others while a thread is free.
    pub max_delay: Duration,
}
/// What a waiting image is known by, and where its scores go.
pub struct Ticket {
    /// What classifies it.
    pub model: Arc<ServedModel>,
    /// Gets the scores of this image, or why there are none.
    pub reply: oneshot::Sender<Result<Vec<f32>, EngineError>>,
    /// When it was submitted.
    pub since: Instant,
    /// Counts the image in the pipeline, from before it was decoded.
    pub occupant: Occupant,
}

/// Forms batches and runs them on threads of its own. Dropped, it runs nothing more.
pub struct Batcher {
    shared: Arc<Shared>,
}

struct Shared {
    occupancy: Occupancy,
    state: Mutex<State>,
    /// One for each thread.
    wakers: Vec<Condvar>,
}

struct State {
    lanes: Lanes<Ticket>,
    /// Threads that wait for something to do, the one that ran last at the end. It is woken first: what its core and
    /// its memory hold of the model is worth a tenth of a run.
    idle: Vec<usize>,
    closed: bool,
}

impl Batcher {
    /// Starts `threads` threads, as many as model calls may run at once.
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
        // Made first: should a thread fail to start, dropping it ends those that did.
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

    /// Puts an image in line for its model.
    pub fn submit(&self, pixels: impl Into<Pixels>, ticket: Ticket) {
        let (pixels, mut ticket) = (pixels.into(), ticket);
        ticket.occupant.set_decoded();
        let model = Arc::clone(&ticket.model);
        let expected = model.package.config.preprocessing.input_shape.iter().product::<usize>();
        if pixels.len() != expected {
            let problem = format!("the image has {} values, expected {expected}", pixels.len());
            // Nobody listening any more is no fault.
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

    /// Has an idle thread look at what waits.
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
            // This thread may take another model's batch next; one of this model may have become free.
            if state.lanes.is_waited_in() {
                self.wake_one(&mut state);
            }
        }
    }

    /// The next batch, once it is due, and whether it is [alone](engine::Batch::alone); `None` when the batcher
    /// is gone.
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
            // Where nobody woke it, it is still there.
            state.idle.retain(|idle| *idle != number);
        }
    }
}

/// Runs one image through its model, here and now.
///
/// # Errors
/// The model could not compute.
pub(super) fn run_alone(model: &ServedModel, pixels: Pixels) -> Result<Vec<f32>, EngineError> {
    let shape = model.package.config.preprocessing.input_shape;
    engine_call::call(model, &Batch::new(1, shape, pixels)).map(|scores| scores.values)
}

/// A count as the metrics want it.
#[expect(clippy::cast_precision_loss, reason = "a count of images is far below 2^52")]
fn count(images: usize) -> f64 {
    images as f64
}
