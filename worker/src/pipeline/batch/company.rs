//! Whether images come one at a time, and whether more are about to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long one image that had company makes those after it expect some: several runs of a slow model.
const EXPECTED_FOR: Duration = Duration::from_secs(1);

/// The images between their decoder and their scores.
#[derive(Debug, Clone, Default)]
pub(super) struct Company(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    /// Before their decoder.
    coming: usize,
    /// Behind it.
    arrived: usize,
    /// When an image was announced while another was here.
    last_met: Option<Instant>,
}

/// An image that is on its way to its scores; dropped, it has them or gets none.
#[derive(Debug)]
pub struct Presence {
    company: Company,
    arrived: bool,
}

impl Company {
    /// An image is announced.
    pub(super) fn announce(&self, now: Instant) -> Presence {
        let mut counts = self.counts();
        if counts.coming + counts.arrived > 0 {
            counts.last_met = Some(now);
        }
        counts.coming += 1;
        Presence { company: self.clone(), arrived: false }
    }

    /// Announced images that are not decoded yet.
    pub(super) fn coming(&self) -> usize {
        self.counts().coming
    }

    /// Whether the one image that is here keeps nobody waiting, and most likely won't: no two were here at a time for
    /// a while.
    pub(super) fn is_absent(&self, now: Instant) -> bool {
        let counts = self.counts();
        counts.coming + counts.arrived == 1
            && counts.last_met.is_none_or(|moment| now >= moment + EXPECTED_FOR)
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Presence {
    /// The image is decoded.
    pub(super) fn arrive(&mut self) {
        if !std::mem::replace(&mut self.arrived, true) {
            let mut counts = self.company.counts();
            counts.coming -= 1;
            counts.arrived += 1;
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut counts = self.company.counts();
        *(if self.arrived { &mut counts.arrived } else { &mut counts.coming }) -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_alone_when_none_met_another_for_a_while() {
        let company = Company::default();
        let begin = Instant::now();
        let mut first = company.announce(begin);
        first.arrive();
        assert!(company.is_absent(begin));
        let second = company.announce(begin);
        assert!(!company.is_absent(begin));
        drop(second);
        assert!(!company.is_absent(begin), "another one may come any moment");
        assert!(!company.is_absent(begin + EXPECTED_FOR / 2));
        assert!(company.is_absent(begin + EXPECTED_FOR));
        drop(first);
        assert!(!company.is_absent(begin + EXPECTED_FOR), "nobody is here");
    }

    #[test]
    fn an_image_is_coming_until_it_is_decoded_or_given_up() {
        let company = Company::default();
        let [mut first, second] = [company.announce(Instant::now()), company.announce(Instant::now())];
        assert_eq!(company.coming(), 2);
        first.arrive();
        first.arrive();
        assert_eq!(company.coming(), 1);
        drop(second);
        assert_eq!(company.coming(), 0);
        drop(first);
        assert_eq!(company.coming(), 0);
    }
}
