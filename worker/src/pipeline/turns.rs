//! Chooses whose image is decoded next, and limits the memory for decoding.
//!
//! Clients take turns, one image each, and so do the jobs of a client. So a client with a thousand large images, in one
//! job or in many, delays others only by the image that is being decoded. Large images share a budget of memory. One
//! that does not fit waits for those before it, and meanwhile small images pass it. Small images do not count: at most
//! one per thread is decoded.

use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use common::ids::{ClientName, JobId};

/// Images from this size on are large: four megapixels.
const LARGE: u64 = 64 << 20;

/// Images that wait for a thread.
pub(super) struct Turns<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

/// The owner of an image.
#[derive(Debug, Clone)]
pub struct Owner {
    /// Its client; `None` for a client without a name.
    pub client: Option<ClientName>,
    /// Its job.
    pub job: JobId,
}

struct State<T> {
    /// Clients with waiting images in the order of their turns, each once. There are as many as keys have names.
    clients: VecDeque<Line<T>>,
    budget: u64,
    free: u64,
}

/// The waiting images of one client.
struct Line<T> {
    client: Option<ClientName>,
    /// Jobs with waiting images in the order of their turns, each once.
    order: VecDeque<JobId>,
    jobs: HashMap<JobId, VecDeque<WaitingItem<T>>>,
}

struct WaitingItem<T> {
    bytes: u64,
    item: T,
}

/// An image whose turn it is. When this is dropped, its memory is free.
pub(super) struct Turn<'a, T> {
    turns: &'a Turns<T>,
    bytes: u64,
}

impl<T> Turns<T> {
    /// Creates turns with a budget of this many bytes. An image that exceeds the budget is decoded alone.
    pub(super) fn new(budget: u64) -> Self {
        let state = State { clients: VecDeque::new(), budget, free: budget };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Queues an image that takes this many bytes during decoding.
    pub(super) fn push(&self, owner: Owner, bytes: u64, item: T) {
        self.state().push(owner, WaitingItem { bytes, item });
        self.changed.notify_one();
    }

    /// Returns the next image. Blocks while all waiting images are too large for the free memory: call it once per
    /// queued image.
    pub(super) fn next(&self) -> (T, Turn<'_, T>) {
        let mut state = self.state();
        loop {
            if let Some(WaitingItem { bytes, item }) = state.next() {
                return (item, Turn { turns: self, bytes });
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.turns.state().free += self.bytes;
            self.turns.changed.notify_all();
        }
    }
}

impl<T> State<T> {
    fn push(&mut self, owner: Owner, waiting: WaitingItem<T>) {
        let bytes = if waiting.bytes < LARGE { 0 } else { waiting.bytes.min(self.budget) };
        let waiting = WaitingItem { bytes, item: waiting.item };
        if let Some(line) = self.clients.iter_mut().find(|line| line.client == owner.client) {
            line.push(owner.job, waiting);
            return;
        }
        let mut line = Line { client: owner.client, order: VecDeque::new(), jobs: HashMap::new() };
        line.push(owner.job, waiting);
        self.clients.push_back(line);
    }

    /// The first image that fits, by client and by job. Images that need memory do not pass each other.
    fn next(&mut self) -> Option<WaitingItem<T>> {
        let (mut is_short, free) = (false, self.free);
        let mut fits = |bytes: u64| {
            let fits = bytes == 0 || (!is_short && bytes <= free);
            is_short |= !fits;
            fits
        };
        let lines = self.clients.iter().enumerate();
        let (client, job) =
            lines.filter_map(|(client, line)| Some((client, line.position(&mut fits)?))).next()?;
        let mut line = self.clients.remove(client)?;
        let next = line.take(job)?;
        if !line.order.is_empty() {
            self.clients.push_back(line);
        }
        self.free -= next.bytes;
        Some(next)
    }
}

impl<T> Line<T> {
    fn push(&mut self, job: JobId, waiting: WaitingItem<T>) {
        let images = self.jobs.entry(job).or_default();
        if images.is_empty() {
            self.order.push_back(job);
        }
        images.push_back(waiting);
    }

    /// Returns the position of the job whose first image fits.
    fn position(&self, fits: &mut impl FnMut(u64) -> bool) -> Option<usize> {
        let first = |job| self.jobs.get(job).and_then(VecDeque::front).map_or(0, |first| first.bytes);
        self.order.iter().position(|job| fits(first(job)))
    }

    fn take(&mut self, position: usize) -> Option<WaitingItem<T>> {
        let job = self.order.remove(position)?;
        let images = self.jobs.get_mut(&job)?;
        let next = images.pop_front()?;
        if images.is_empty() {
            self.jobs.remove(&job);
        } else {
            self.order.push_back(job);
        }
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jobs() -> [Owner; 3] {
        std::array::from_fn(|_| of_client(None))
    }

    /// A new job.
    fn of_client(name: Option<&str>) -> Owner {
        Owner { client: name.map(|name| ClientName::parse(name).unwrap()), job: JobId::random() }
    }

    fn next(turns: &Turns<u32>) -> Option<u32> {
        turns.state().next().map(|waiting| waiting.item)
    }

    #[test]
    fn jobs_take_turns_and_keep_the_order_of_their_own() {
        let (turns, [a, b, c]) = (Turns::new(0), jobs());
        for (job, image) in [(&a, 1), (&a, 2), (&a, 3), (&b, 10), (&b, 11), (&c, 20)] {
            turns.push(job.clone(), 1, image);
        }
        let order: Vec<u32> = std::iter::from_fn(|| next(&turns)).collect();
        assert_eq!(order, [1, 10, 20, 2, 11, 3]);
        assert!(turns.state().clients.is_empty());
    }

    #[test]
    fn clients_take_turns_however_many_jobs_they_have() {
        let turns = Turns::new(0);
        for image in 0..4 {
            turns.push(of_client(Some("many")), 1, image);
        }
        turns.push(of_client(Some("few")), 1, 10);
        turns.push(of_client(None), 1, 20);
        let order: Vec<u32> = std::iter::from_fn(|| next(&turns)).collect();
        assert_eq!(order, [0, 10, 20, 1, 2, 3]);
    }

    #[test]
    fn large_images_share_the_budget_and_small_ones_pass_those_that_wait() {
        let (turns, [a, b, c]) = (Turns::new(2 * LARGE), jobs());
        for (job, bytes, image) in
            [(&a, LARGE, 1), (&a, 9 * LARGE, 2), (&b, LARGE, 10), (&c, LARGE - 1, 20), (&c, LARGE, 21)]
        {
            turns.push(job.clone(), bytes, image);
        }
        let (first, one) = turns.next();
        let (second, ten) = turns.next();
        assert_eq!((first, second), (1, 10));
        assert_eq!(next(&turns), Some(20));
        assert_eq!(next(&turns), None, "the budget is taken");
        drop(one);
        assert_eq!(next(&turns), None, "a smaller one does not pass it for ever");
        drop(ten);
        let (third, all) = turns.next();
        assert_eq!((third, all.bytes), (2, 2 * LARGE), "larger than the budget, it has it alone");
        assert_eq!(next(&turns), None);
        drop(all);
        assert_eq!(next(&turns), Some(21));
    }
}
