//! How many images are in the pipeline at the same time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long after two images overlapped more are expected: several runs of a slow model.
const EXPECTED_FOR: Duration = Duration::from_secs(1);

/// Counts the images between the decoders' queue and their scores.
#[derive(Debug, Clone, Default)]
pub(super) struct Occupancy(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    /// Images that are not decoded yet.
    undecoded: usize,
    /// Images that are decoded and have no scores yet.
    decoded: usize,
    /// When an image was last announced while another was in the pipeline.
    last_overlap: Option<Instant>,
}

/// Counts one image until it is dropped: the image then has its scores or gets none.
#[derive(Debug)]
pub struct Occupant {
    occupancy: Occupancy,
    decoded: bool,
}

impl Occupancy {
    /// Counts an image that waits for its decoder.
    pub(super) fn announce(&self, now: Instant) -> Occupant {
        let mut counts = self.counts();
        if counts.undecoded + counts.decoded > 0 {
            counts.last_overlap = Some(now);
        }
        counts.undecoded += 1;
        Occupant { occupancy: self.clone(), decoded: false }
    }

    /// Returns the number of announced images that are not decoded yet.
    pub(super) fn undecoded(&self) -> usize {
        self.counts().undecoded
    }

    /// Returns whether exactly one image is in the pipeline and no other is expected: no two overlapped for
    /// [`EXPECTED_FOR`].
    pub(super) fn is_single(&self, now: Instant) -> bool {
        let counts = self.counts();
        counts.undecoded + counts.decoded == 1
            && counts.last_overlap.is_none_or(|moment| now >= moment + EXPECTED_FOR)
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Occupant {
    /// Says that the image is decoded.
    pub(super) fn set_decoded(&mut self) {
        if !std::mem::replace(&mut self.decoded, true) {
            let mut counts = self.occupancy.counts();
            counts.undecoded -= 1;
            counts.decoded += 1;
        }
    }
}

impl Drop for Occupant {
    fn drop(&mut self) {
        let mut counts = self.occupancy.counts();
        *(if self.decoded { &mut counts.decoded } else { &mut counts.undecoded }) -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_single_when_none_overlapped_for_a_while() {
        let occupancy = Occupancy::default();
        let begin = Instant::now();
        let mut first = occupancy.announce(begin);
        first.set_decoded();
        assert!(occupancy.is_single(begin));
        let second = occupancy.announce(begin);
        assert!(!occupancy.is_single(begin));
        drop(second);
        assert!(!occupancy.is_single(begin), "another one is expected");
        assert!(!occupancy.is_single(begin + EXPECTED_FOR / 2));
        assert!(occupancy.is_single(begin + EXPECTED_FOR));
        drop(first);
        assert!(!occupancy.is_single(begin + EXPECTED_FOR), "the pipeline is empty");
    }

    #[test]
    fn an_image_is_undecoded_until_it_is_decoded_or_dropped() {
        let occupancy = Occupancy::default();
        let [mut first, second] = [occupancy.announce(Instant::now()), occupancy.announce(Instant::now())];
        assert_eq!(occupancy.undecoded(), 2);
        first.set_decoded();
        first.set_decoded();
        assert_eq!(occupancy.undecoded(), 1);
        drop(second);
        assert_eq!(occupancy.undecoded(), 0);
        drop(first);
        assert_eq!(occupancy.undecoded(), 0);
    }
}
