//! Who may compute: as many runs at a time as there are cores.

use std::sync::{Condvar, Mutex, PoisonError};

/// A number of permits that calls share.
#[derive(Debug)]
pub(super) struct Cores {
    all: usize,
    free: Mutex<usize>,
    returned: Condvar,
}

/// Permits in use; they go back when this is dropped.
#[derive(Debug)]
pub(super) struct Share<'a> {
    cores: &'a Cores,
    count: usize,
}

impl Cores {
    pub(super) fn new(all: usize) -> Self {
        Self { all, free: Mutex::new(all), returned: Condvar::new() }
    }

    /// Every permit, if nobody else has one.
    pub(super) fn take_all_if_idle(&self) -> Option<Share<'_>> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        (*free == self.all).then(|| {
            *free = 0;
            Share { cores: self, count: self.all }
        })
    }

    /// As many permits as are free, at least one and at most `most`; waits for the first.
    pub(super) fn take(&self, most: usize) -> Share<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free =
            self.returned.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        let count = most.clamp(1, *free);
        *free -= count;
        Share { cores: self, count }
    }
}

impl Share<'_> {
    pub(super) fn count(&self) -> usize {
        self.count
    }
}

impl Drop for Share<'_> {
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
