//! Random choices from a seed.

use std::ops::Range;
use std::time::Duration;

/// Numbers from a seed, by the method `splitmix64` (Steele, Lea and Flood, 2014).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Creates the generator of this seed, for this purpose.
    #[must_use]
    pub fn new(seed: u64, what_for: u64) -> Self {
        let mut random = Self(seed ^ what_for.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        random.number();
        random
    }

    /// Returns the next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `limit`, which is at least 1.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.number() % limit.max(1)
    }

    /// Returns an index below `limit`, which is at least 1.
    pub fn index(&mut self, limit: usize) -> usize {
        usize::try_from(self.below(limit as u64)).unwrap_or(0)
    }

    /// Returns true with this probability.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Returns one of these, of which there is at least one.
    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.index(of.len())]
    }

    /// Returns so many milliseconds.
    pub fn span(&mut self, milliseconds: Range<u64>) -> Duration {
        let Range { start, end } = milliseconds;
        Duration::from_millis(start + self.below(end.saturating_sub(start)))
    }
}
