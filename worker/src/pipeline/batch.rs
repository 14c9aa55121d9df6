//! Dynamic batching: images that wait for a model become batches.
//!
//! [`Lanes`] decides, without clock or thread: what to run next, given who waits and what time it is.
//! [`Batcher`] does what it says on its own threads, each of which runs one batch at a time.
//!
//! A batch starts as soon as a thread is free and either it is full or its first image has waited for
//! [`BatchLimits::max_delay`], which is zero unless set. So an idle worker adds no delay, and a busy one
//! makes larger batches the more waits. Only images that are being decoded are waited for in any case, a moment at most. Of a batch for a CPU a thread takes its share and leaves the rest to the
//! others, so that the images of one request are done at about the same time.

mod company;
mod engine_call;

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::ids::ModelVersion;
use common::telemetry::names;
use tokio::sync::oneshot;

use self::company::Company;
pub use self::company::Presence;
use crate::engine::{Engine, EngineError, Pixels};

/// Images that a core computes at once. Two share one reading of the weights; of more, what is between two operations
/// does not stay in the core's caches, and others wait longer.
pub const LARGEST_SHARE_OF_A_CORE: usize = 2;

/// How long images wait for others that are being decoded: those of one request come one shortly after the other, and
/// as long as there are some, the cores have work.
const GATHERING: Duration = Duration::from_millis(2);

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
    calls: Calls,
    /// Batches that run.
    running: usize,
    /// Images at the front whose delay is over, or that make a full batch: they wait for threads alone.
    released: usize,
    /// Oldest first.
    waiting: VecDeque<Waiting<T>>,
}

struct Waiting<T> {
    since: Instant,
    pixels: Pixels,
    ticket: T,
}

/// How a model is best called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calls {
    /// Calls that may run at a time.
    pub at_once: usize,
    /// Among how many calls the images that wait are divided, at least 1.
    pub shares: usize,
    /// Most images of a share.
    pub largest_share: usize,
}

/// An image that comes to wait.
pub struct Arrival<'a, T> {
    /// Of its model.
    pub version: &'a ModelVersion,
    /// How its model is called.
    pub calls: Calls,
    /// Its preprocessed values, for every image of the version as many.
    pub pixels: Pixels,
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
    pub pixels: Pixels,
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
        let Arrival { version, calls, pixels, ticket } = arrival;
        let index = self.lanes.iter().position(|lane| lane.version == *version).unwrap_or_else(|| {
            let version = version.clone();
            self.lanes.push_back(Lane { version, calls, running: 0, released: 0, waiting: VecDeque::new() });
            self.lanes.len() - 1
        });
        self.lanes[index].waiting.push_back(Waiting { since: now, pixels, ticket });
    }

    /// Decides for a thread that is free; so many images are being decoded.
    pub fn next(&mut self, coming: usize, now: Instant) -> Next<T> {
        let limits = self.limits;
        let due = |lane: &Lane<T>| lane.due(limits, coming);
        let Some(index) = self.lanes.iter().position(|lane| due(lane).is_some_and(|due| due <= now)) else {
            return self.lanes.iter().filter_map(due).min().map_or(Next::Idle, Next::WaitUntil);
        };
        let Some(mut lane) = self.lanes.remove(index) else { return Next::Idle };
        let formed = lane.form(limits, coming);
        self.lanes.push_back(lane);
        Next::Run(formed)
    }

    /// A batch of this version was run.
    pub fn finished(&mut self, version: &ModelVersion) {
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.version == *version) {
            lane.running = lane.running.saturating_sub(1);
        }
        self.lanes.retain(|lane| lane.running > 0 || !lane.waiting.is_empty());
    }

    /// Whether any image waits.
    fn is_waited_in(&self) -> bool {
        self.lanes.iter().any(|lane| !lane.waiting.is_empty())
    }
}

impl<T> Lane<T> {
    /// When its next batch may run; none while nothing waits, or while as many run as may.
    fn due(&self, limits: BatchLimits, coming: usize) -> Option<Instant> {
        let oldest = self.waiting.front().filter(|_| self.running < self.calls.at_once)?;
        let (full, delay) = if limits.max_delay.is_zero() {
            (self.waiting.len() >= self.share(self.waiting.len() + coming, limits), GATHERING)
        } else {
            (self.waiting.len() >= limits.max_images || self.released > 0, limits.max_delay)
        };
        Some(if full { oldest.since } else { oldest.since + delay })
    }

    /// How many of so many images a thread takes.
    fn share(&self, images: usize, limits: BatchLimits) -> usize {
        let share = images.div_ceil(self.calls.shares.max(1));
        share.min(self.calls.largest_share).min(limits.max_images).max(1)
    }

    /// Takes the oldest images out.
    fn form(&mut self, limits: BatchLimits, coming: usize) -> Formed<T> {
        if limits.max_delay.is_zero() {
            self.released = self.waiting.len();
        } else if self.released == 0 {
            self.released = self.waiting.len().min(limits.max_images);
        }
        let coming = if limits.max_delay.is_zero() { coming } else { 0 };
        let images = self.share(self.released + coming, limits).min(self.released);
        self.released -= images;
        let mut formed = Formed {
            version: self.version.clone(),
            pixels: Pixels::Values(Vec::new()),
            tickets: Vec::with_capacity(images),
        };
        for Waiting { pixels, ticket, .. } in self.waiting.drain(..images) {
            if formed.pixels.is_empty() {
                // One image alone is not copied.
                formed.pixels = pixels;
                formed.pixels.reserve_exact(formed.pixels.len() * (images - 1));
            } else {
                formed.pixels.extend(&pixels);
            }
            formed.tickets.push(ticket);
        }
        self.running += 1;
        formed
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
    /// From before it was decoded.
    pub presence: Presence,
}

/// Forms batches and runs them on threads of its own. Dropped, it runs nothing more.
pub struct Batcher {
    shared: Arc<Shared>,
}

struct Shared {
    company: Company,
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
        let state = State { lanes: Lanes::new(limits), idle: Vec::new(), closed: false };
        let threads = threads.max(1);
        let shared = Arc::new(Shared {
            company: Company::default(),
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

    /// An image that will be submitted is on its way.
    #[must_use]
    pub fn announce(&self) -> Presence {
        self.shared.company.announce(Instant::now())
    }

    /// Puts an image in line for its model.
    pub fn submit(&self, version: &ModelVersion, pixels: impl Into<Pixels>, ticket: Ticket) {
        let (pixels, mut ticket) = (pixels.into(), ticket);
        ticket.presence.arrive();
        let expected = ticket.shape.iter().product::<usize>();
        if pixels.len() != expected {
            let problem = format!("the image has {} values, expected {expected}", pixels.len());
            // Nobody listening any more is no fault.
            let _ = ticket.reply.send(Err(EngineError(problem)));
            return;
        }
        metrics::gauge!(names::BATCH_QUEUE_IMAGES).increment(1.0);
        let calls = calls(ticket.engine.device(), self.shared.wakers.len());
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

    /// The next batch, once it is due, and whether it is [alone](crate::engine::Batch::alone); `None` when the batcher
    /// is gone.
    fn next(&self, number: usize) -> Option<(Formed<Ticket>, bool)> {
        let mut state = self.state();
        loop {
            if state.closed {
                return None;
            }
            let now = Instant::now();
            let limit = match state.lanes.next(self.company.coming(), now) {
                Next::Run(formed) => return Some((formed, self.company.is_absent(now))),
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

/// How a model on this device is best called.
fn calls(device: &str, threads: usize) -> Calls {
    if device.starts_with("gpu") {
        // It computes one call after the other and gains from large ones: a second keeps it busy while the
        // first one's answer is fetched, more would only make smaller batches.
        Calls { at_once: 2, shares: 1, largest_share: usize::MAX }
    } else {
        // A core gains nothing from more than a few images at once, and others may be free before it.
        Calls { at_once: usize::MAX, shares: threads, largest_share: LARGEST_SHARE_OF_A_CORE }
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
    const ONE_BY_ONE: Calls = Calls { at_once: 2, shares: 1, largest_share: usize::MAX };

    fn version(number: u8) -> ModelVersion {
        ModelVersion::from_digest([number; 32])
    }

    /// Pushes images numbered so, each of one value: its number.
    fn push(lanes: &mut Lanes<u8>, model: u8, numbers: std::ops::Range<u8>, now: Instant) {
        for number in numbers {
            let (pixels, ticket) = (vec![f32::from(number)].into(), number);
            lanes.push(Arrival { version: &version(model), calls: ONE_BY_ONE, pixels, ticket }, now);
        }
    }

    fn tickets(next: Next<u8>) -> Vec<u8> {
        match next {
            Next::Run(formed) => {
                let values: Vec<f32> = formed.tickets.iter().copied().map(f32::from).collect();
                assert_eq!(*formed.pixels.values(), values, "pixels and tickets belong together");
                formed.tickets
            }
            other @ (Next::WaitUntil(_) | Next::Idle) => panic!("expected a batch, got {other:?}"),
        }
    }

    #[test]
    fn without_a_delay_whatever_waits_runs_at_once() {
        let now = Instant::now();
        let mut lanes = Lanes::new(BatchLimits { max_delay: Duration::ZERO, ..LIMITS });
        assert_eq!(lanes.next(0, now), Next::Idle);
        push(&mut lanes, 1, 0..1, now);
        assert_eq!(tickets(lanes.next(0, now)), [0]);
        assert_eq!(lanes.next(0, now), Next::Idle);
    }

    #[test]
    fn what_gathers_while_nothing_is_free_runs_together_up_to_the_limit() {
        let now = Instant::now();
        let mut lanes = Lanes::new(BatchLimits { max_delay: Duration::ZERO, ..LIMITS });
        push(&mut lanes, 1, 0..7, now);
        assert_eq!(tickets(lanes.next(0, now)), [0, 1, 2]);
        assert_eq!(tickets(lanes.next(0, now)), [3, 4, 5]);
        lanes.finished(&version(1));
        assert_eq!(tickets(lanes.next(0, now)), [6]);
    }

    #[test]
    fn no_more_batches_of_a_model_run_at_once_than_it_wants() {
        let now = Instant::now();
        let mut lanes = Lanes::new(BatchLimits { max_delay: Duration::ZERO, ..LIMITS });
        push(&mut lanes, 1, 0..7, now);
        push(&mut lanes, 2, 10..11, now);
        assert_eq!(tickets(lanes.next(0, now)), [0, 1, 2]);
        assert_eq!(tickets(lanes.next(0, now)), [10]);
        assert_eq!(tickets(lanes.next(0, now)), [3, 4, 5]);
        assert_eq!(lanes.next(0, now), Next::Idle, "two of the first model run");
        lanes.finished(&version(2));
        assert_eq!(lanes.next(0, now), Next::Idle);
        push(&mut lanes, 1, 7..8, now);
        lanes.finished(&version(1));
        assert_eq!(tickets(lanes.next(0, now)), [6, 7]);
    }

    #[test]
    fn each_thread_takes_its_share_of_what_waits() {
        let now = Instant::now();
        let calls = Calls { at_once: usize::MAX, shares: 2, largest_share: 4 };
        for (waiting, batches) in
            [(1, vec![1]), (2, vec![1, 1]), (7, vec![4, 2, 1]), (9, vec![4, 3, 1, 1]), (20, vec![4; 4])]
        {
            let mut lanes = Lanes::new(BatchLimits { max_images: 8, max_delay: Duration::ZERO });
            for number in 0..waiting {
                let (pixels, ticket) = (vec![f32::from(number)].into(), number);
                lanes.push(Arrival { version: &version(1), calls, pixels, ticket }, now);
            }
            let formed: Vec<Vec<u8>> = batches.iter().map(|_| tickets(lanes.next(0, now))).collect();
            assert_eq!(formed.iter().map(Vec::len).collect::<Vec<_>>(), batches, "{waiting} wait");
            let in_order: Vec<u8> = (0..).take(batches.iter().sum()).collect();
            assert_eq!(formed.concat(), in_order, "{waiting} wait");
        }
    }

    #[test]
    fn what_is_being_decoded_is_waited_for_a_moment_if_it_makes_a_larger_share() {
        let now = Instant::now();
        let calls = Calls { at_once: usize::MAX, shares: 2, largest_share: 4 };
        let mut lanes = Lanes::new(BatchLimits { max_images: 8, max_delay: Duration::ZERO });
        let push = |lanes: &mut Lanes<u8>, number: u8| {
            let (pixels, ticket) = (vec![f32::from(number)].into(), number);
            lanes.push(Arrival { version: &version(1), calls, pixels, ticket }, now);
        };
        push(&mut lanes, 0);
        assert_eq!(lanes.next(7, now), Next::WaitUntil(now + GATHERING));
        (1..4).for_each(|number| push(&mut lanes, number));
        assert_eq!(tickets(lanes.next(4, now)), [0, 1, 2, 3]);
        push(&mut lanes, 4);
        assert_eq!(lanes.next(2, now), Next::WaitUntil(now + GATHERING));
        assert_eq!(tickets(lanes.next(2, now + GATHERING)), [4]);
        push(&mut lanes, 5);
        assert_eq!(tickets(lanes.next(1, now)), [5], "the other one is the other thread's share");
    }

    #[test]
    fn a_delay_is_waited_for_once_for_all_shares_of_a_batch() {
        let now = Instant::now();
        let calls = Calls { at_once: usize::MAX, shares: 2, largest_share: 4 };
        let mut lanes = Lanes::new(BatchLimits { max_images: 8, ..LIMITS });
        let push = |lanes: &mut Lanes<u8>, number: u8, now| {
            let (pixels, ticket) = (vec![f32::from(number)].into(), number);
            lanes.push(Arrival { version: &version(1), calls, pixels, ticket }, now);
        };
        (0..3).for_each(|number| push(&mut lanes, number, now + Duration::from_millis(u64::from(number))));
        assert_eq!(lanes.next(0, now), Next::WaitUntil(now + LIMITS.max_delay));
        let due = now + LIMITS.max_delay;
        assert_eq!(tickets(lanes.next(0, due)), [0, 1]);
        push(&mut lanes, 3, due);
        assert_eq!(tickets(lanes.next(0, due)), [2]);
        assert_eq!(lanes.next(0, due), Next::WaitUntil(due + LIMITS.max_delay), "the last one came after it");
    }

    #[test]
    fn a_gpu_gets_all_that_waits_and_a_core_its_share() {
        assert_eq!(calls("gpu:0", 8), Calls { at_once: 2, shares: 1, largest_share: usize::MAX });
        assert_eq!(calls("cpu", 8), Calls { at_once: usize::MAX, shares: 8, largest_share: 2 });
    }

    #[test]
    fn a_batch_that_is_not_full_waits_for_the_delay_of_its_first_image() {
        let now = Instant::now();
        let mut lanes = Lanes::new(LIMITS);
        push(&mut lanes, 1, 0..1, now);
        push(&mut lanes, 1, 1..2, now + Duration::from_millis(9));
        assert_eq!(
            lanes.next(0, now + Duration::from_millis(9)),
            Next::WaitUntil(now + Duration::from_millis(10))
        );
        assert_eq!(tickets(lanes.next(0, now + Duration::from_millis(10))), [0, 1]);
    }

    #[test]
    fn a_full_batch_does_not_wait() {
        let now = Instant::now();
        let mut lanes = Lanes::new(LIMITS);
        push(&mut lanes, 1, 0..4, now);
        assert_eq!(tickets(lanes.next(0, now)), [0, 1, 2]);
        assert_eq!(lanes.next(0, now), Next::WaitUntil(now + Duration::from_millis(10)));
    }

    #[test]
    fn a_batch_holds_one_version_and_versions_take_turns() {
        let now = Instant::now();
        let mut lanes = Lanes::new(BatchLimits { max_delay: Duration::ZERO, ..LIMITS });
        push(&mut lanes, 1, 0..7, now);
        push(&mut lanes, 2, 10..12, now);
        push(&mut lanes, 1, 7..8, now);
        assert_eq!(tickets(lanes.next(0, now)), [0, 1, 2]);
        assert_eq!(tickets(lanes.next(0, now)), [10, 11]);
        assert_eq!(tickets(lanes.next(0, now)), [3, 4, 5]);
        lanes.finished(&version(1));
        push(&mut lanes, 2, 12..13, now);
        assert_eq!(tickets(lanes.next(0, now)), [12]);
        assert_eq!(tickets(lanes.next(0, now)), [6, 7]);
    }

    #[test]
    fn a_lane_that_is_due_is_not_held_up_by_one_that_waits() {
        let now = Instant::now();
        let mut lanes = Lanes::new(LIMITS);
        push(&mut lanes, 1, 0..1, now);
        push(&mut lanes, 2, 10..13, now);
        assert_eq!(tickets(lanes.next(0, now)), [10, 11, 12]);
        assert_eq!(lanes.next(0, now), Next::WaitUntil(now + Duration::from_millis(10)));
    }
}
