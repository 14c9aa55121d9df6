//! Limits the runs at a time to the number of cores.

use std::sync::{Condvar, Mutex, PoisonError};

/// A semaphore: calls take permits from it.
#[derive(Debug)]
pub(super) struct Cores {
    all: usize,
    free: Mutex<usize>,
    returned: Condvar,
}

/// Permits in use. They are returned when this is dropped.
#[derive(Debug)]
pub(super) struct Permits<'a> {
    cores: &'a Cores,
    count: usize,
}

impl Cores {
    pub(super) fn new(all: usize) -> Self {
        Self { all, free: Mutex::new(all), returned: Condvar::new() }
    }

    /// Takes every permit, if all are free.
    pub(super) fn take_all_if_idle(&self) -> Option<Permits<'_>> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        (*free == self.all).then(|| {
            *free = 0;
            Permits { cores: self, count: self.all }
        })
    }

    /// Takes the free permits, at least one and at most `most`. Waits for the first.
    pub(super) fn take(&self, most: usize) -> Permits<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free =
            self.returned.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        let count = most.clamp(1, *free);
        *free -= count;
        Permits { cores: self, count }
    }
}

impl Permits<'_> {
    pub(super) fn count(&self) -> usize {
        self.count
    }
}

impl Drop for Permits<'_> {
    fn drop(&mut self) {
        *self.cores.free.lock().unwrap_or_else(PoisonError::into_inner) += self.count;
        self.cores.returned.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_gets_what_is_free_and_the_rest_waits() {
        let cores = Cores::new(3);
        let first = cores.take(2);
        assert!(cores.take_all_if_idle().is_none());
        let second = cores.take(5);
        assert_eq!((first.count(), second.count()), (2, 1));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| cores.take(3).count());
            drop(first);
            assert!((1..=2).contains(&waiting.join().unwrap()));
        });
        drop(second);
        assert_eq!(cores.take_all_if_idle().unwrap().count(), 3);
    }
}
