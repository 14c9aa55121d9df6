//! Decides which images run together and when, without clock or thread.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use common::ids::ModelVersion;

use super::BatchLimits;
use engine::{Calls, Pixels};

/// How long images wait for others that are being decoded. Images of one request follow each other closely, and as long
/// as there are some, the cores are busy.
const GATHERING: Duration = Duration::from_millis(2);

/// Waiting images, in a lane for each model version, so that no batch mixes two.
pub(super) struct Lanes<T> {
    limits: BatchLimits,
    /// Threads that run batches, at least 1.
    threads: usize,
    /// In order of their turns: a lane whose batch ran goes to the end.
    lanes: VecDeque<Lane<T>>,
}

struct Lane<T> {
    version: ModelVersion,
    calls: Calls,
    threads: usize,
    /// Running batches.
    running: usize,
    /// Images at the front whose delay is over, or that fill a batch: they wait only for threads.
    released: usize,
    /// Oldest first.
    waiting: VecDeque<WaitingImage<T>>,
}

struct WaitingImage<T> {
    since: Instant,
    pixels: Pixels,
    ticket: T,
}

/// An image that begins to wait.
pub(super) struct Arrival<'a, T> {
    /// Its model's version.
    pub(super) version: &'a ModelVersion,
    /// The calls of its model's engine.
    pub(super) calls: Calls,
    /// Its preprocessed values; all images of a version have the same number.
    pub(super) pixels: Pixels,
    /// Its ticket.
    pub(super) ticket: T,
}

/// What to do now.
#[derive(Debug, PartialEq)]
pub(super) enum Next<T> {
    /// Run this batch, and report when it is [finished](Lanes::finished).
    Run(Formed<T>),
    /// Check again when an image arrives or a batch is finished, at the latest at this moment.
    WaitUntil(Instant),
    /// Check again when an image arrives or a batch is finished.
    Idle,
}

/// A batch: images of one version in the order of their arrival.
#[derive(Debug, PartialEq)]
pub(super) struct Formed<T> {
    /// Their model's version.
    pub(super) version: ModelVersion,
    /// Their preprocessed values, one image after the other.
    pub(super) pixels: Pixels,
    /// Their tickets.
    pub(super) tickets: Vec<T>,
}

impl<T> Lanes<T> {
    /// Creates empty lanes for this many threads.
    pub(super) fn new(limits: BatchLimits, threads: usize) -> Self {
        Self { limits, threads: threads.max(1), lanes: VecDeque::new() }
    }

    /// Adds an image.
    pub(super) fn push(&mut self, arrival: Arrival<'_, T>, now: Instant) {
        let Arrival { version, calls, pixels, ticket } = arrival;
        let index = self.lanes.iter().position(|lane| lane.version == *version).unwrap_or_else(|| {
            let (version, threads) = (version.clone(), self.threads);
            let waiting = VecDeque::new();
            self.lanes.push_back(Lane { version, calls, threads, running: 0, released: 0, waiting });
            self.lanes.len() - 1
        });
        self.lanes[index].waiting.push_back(WaitingImage { since: now, pixels, ticket });
    }

    /// Decides what a free thread does, while `undecoded` images are being decoded.
    pub(super) fn next(&mut self, undecoded: usize, now: Instant) -> Next<T> {
        let limits = self.limits;
        let due = |lane: &Lane<T>| lane.due(limits, undecoded);
        let Some(index) = self.lanes.iter().position(|lane| due(lane).is_some_and(|due| due <= now)) else {
            return self.lanes.iter().filter_map(due).min().map_or(Next::Idle, Next::WaitUntil);
        };
        let Some(mut lane) = self.lanes.remove(index) else { return Next::Idle };
        let formed = lane.form(limits, undecoded);
        self.lanes.push_back(lane);
        Next::Run(formed)
    }

    /// Notes that a batch of this version has run.
    pub(super) fn finished(&mut self, version: &ModelVersion) {
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.version == *version) {
            lane.running = lane.running.saturating_sub(1);
        }
        self.lanes.retain(|lane| lane.running > 0 || !lane.waiting.is_empty());
    }

    /// Returns whether any image waits.
    pub(super) fn is_waited_in(&self) -> bool {
        self.lanes.iter().any(|lane| !lane.waiting.is_empty())
    }
}

impl<T> Lane<T> {
    /// Returns when its next batch may run; `None` while no image waits, or while as many batches run as allowed.
    fn due(&self, limits: BatchLimits, undecoded: usize) -> Option<Instant> {
        let oldest = self.waiting.front().filter(|_| self.running < self.calls.at_once)?;
        let (full, delay) = if limits.max_delay.is_zero() {
            (self.waiting.len() >= self.share(self.waiting.len() + undecoded, limits), GATHERING)
        } else {
            (self.waiting.len() >= limits.max_images || self.released > 0, limits.max_delay)
        };
        Some(if full { oldest.since } else { oldest.since + delay })
    }

    /// Returns how many of this many images a thread takes.
    fn share(&self, images: usize, limits: BatchLimits) -> usize {
        let share = match self.calls.images_a_thread {
            Some(most) => images.div_ceil(self.threads).min(most),
            None => images,
        };
        share.min(limits.max_images).max(1)
    }

    /// Takes the oldest images.
    fn form(&mut self, limits: BatchLimits, undecoded: usize) -> Formed<T> {
        if limits.max_delay.is_zero() {
            self.released = self.waiting.len();
        } else if self.released == 0 {
            self.released = self.waiting.len().min(limits.max_images);
        }
        let undecoded = if limits.max_delay.is_zero() { undecoded } else { 0 };
        let images = self.share(self.released + undecoded, limits).min(self.released);
        self.released -= images;
        let mut formed = Formed {
            version: self.version.clone(),
            pixels: Pixels::Float32(Vec::new()),
            tickets: Vec::with_capacity(images),
        };
        for WaitingImage { pixels, ticket, .. } in self.waiting.drain(..images) {
            if formed.pixels.is_empty() {
                // A single image is not copied.
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

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BatchLimits = BatchLimits { max_images: 3, max_delay: Duration::from_millis(10) };
    /// The calls of a GPU's engine.
    fn whole_batches() -> Calls {
        Calls { at_once: 2, images_a_thread: None, ..Calls::default() }
    }

    /// The calls of a CPU's engine.
    fn shares() -> Calls {
        Calls { images_a_thread: Some(4), ..Calls::default() }
    }

    fn version(number: u8) -> ModelVersion {
        ModelVersion::from_digest([number; 32])
    }

    /// Adds images with these numbers; the only value of each is its number.
    fn push(lanes: &mut Lanes<u8>, model: u8, numbers: std::ops::Range<u8>, now: Instant) {
        for number in numbers {
            let (pixels, ticket) = (vec![f32::from(number)].into(), number);
            lanes.push(Arrival { version: &version(model), calls: whole_batches(), pixels, ticket }, now);
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
        let mut lanes = Lanes::new(BatchLimits { max_delay: Duration::ZERO, ..LIMITS }, 2);
        assert_eq!(lanes.next(0, now), Next::Idle);
        push(&mut lanes, 1, 0..1, now);
        assert_eq!(tickets(lanes.next(0, now)), [0]);
        assert_eq!(lanes.next(0, now), Next::Idle);
    }

    #[test]
    fn what_gathers_while_nothing_is_free_runs_together_up_to_the_limit() {
        let now = Instant::now();
        let mut lanes = Lanes::new(BatchLimits { max_delay: Duration::ZERO, ..LIMITS }, 2);
        push(&mut lanes, 1, 0..7, now);
        assert_eq!(tickets(lanes.next(0, now)), [0, 1, 2]);
        assert_eq!(tickets(lanes.next(0, now)), [3, 4, 5]);
        lanes.finished(&version(1));
        assert_eq!(tickets(lanes.next(0, now)), [6]);
    }

    #[test]
    fn no_more_batches_of_a_model_run_at_once_than_it_wants() {
        let now = Instant::now();
        let mut lanes = Lanes::new(BatchLimits { max_delay: Duration::ZERO, ..LIMITS }, 2);
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
        let calls = shares();
        for (waiting, batches) in
            [(1, vec![1]), (2, vec![1, 1]), (7, vec![4, 2, 1]), (9, vec![4, 3, 1, 1]), (20, vec![4; 4])]
        {
            let mut lanes = Lanes::new(BatchLimits { max_images: 8, max_delay: Duration::ZERO }, 2);
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
        let calls = shares();
        let mut lanes = Lanes::new(BatchLimits { max_images: 8, max_delay: Duration::ZERO }, 2);
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
        let calls = shares();
        let mut lanes = Lanes::new(BatchLimits { max_images: 8, ..LIMITS }, 2);
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
    fn a_batch_that_is_not_full_waits_for_the_delay_of_its_first_image() {
        let now = Instant::now();
        let mut lanes = Lanes::new(LIMITS, 2);
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
        let mut lanes = Lanes::new(LIMITS, 2);
        push(&mut lanes, 1, 0..4, now);
        assert_eq!(tickets(lanes.next(0, now)), [0, 1, 2]);
        assert_eq!(lanes.next(0, now), Next::WaitUntil(now + Duration::from_millis(10)));
    }

    #[test]
    fn a_batch_holds_one_version_and_versions_take_turns() {
        let now = Instant::now();
        let mut lanes = Lanes::new(BatchLimits { max_delay: Duration::ZERO, ..LIMITS }, 2);
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
        let mut lanes = Lanes::new(LIMITS, 2);
        push(&mut lanes, 1, 0..1, now);
        push(&mut lanes, 2, 10..13, now);
        assert_eq!(tickets(lanes.next(0, now)), [10, 11, 12]);
        assert_eq!(lanes.next(0, now), Next::WaitUntil(now + Duration::from_millis(10)));
    }
}
