//! Whether images come one at a time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long one image that had company makes those after it expect some: several runs of a slow model.
const EXPECTED_FOR: Duration = Duration::from_secs(1);

/// The images between their decoder and their scores.
#[derive(Debug, Clone, Default)]
pub(super) struct Company(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    present: usize,
    /// When an image came while another was here.
    last_met: Option<Instant>,
}

/// An image that is on its way to its scores; dropped, it has them or gets none.
#[derive(Debug)]
pub struct Presence(Company);

impl Company {
    /// An image comes in.
    pub(super) fn enter(&self, now: Instant) -> Presence {
        let mut counts = self.counts();
        if counts.present > 0 {
            counts.last_met = Some(now);
        }
        counts.present += 1;
        Presence(self.clone())
    }

    /// Whether the one image that is here keeps nobody waiting, and most likely won't: no two were here at a time for
    /// a while.
    pub(super) fn is_absent(&self, now: Instant) -> bool {
        let counts = self.counts();
        counts.present == 1 && counts.last_met.is_none_or(|moment| now >= moment + EXPECTED_FOR)
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.counts().present -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_alone_when_none_met_another_for_a_while() {
        let company = Company::default();
        let begin = Instant::now();
        let first = company.enter(begin);
        assert!(company.is_absent(begin));
        let second = company.enter(begin);
        assert!(!company.is_absent(begin));
        drop(second);
        assert!(!company.is_absent(begin), "another one may come any moment");
        assert!(!company.is_absent(begin + EXPECTED_FOR / 2));
        assert!(company.is_absent(begin + EXPECTED_FOR));
        drop(first);
        assert!(!company.is_absent(begin + EXPECTED_FOR), "nobody is here");
    }
}
