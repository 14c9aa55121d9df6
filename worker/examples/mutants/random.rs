//! Random numbers that are the same in every run.

/// SplitMix64 (Steele, Lea and Flood 2014).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `limit`; 0 if that is 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % (limit.max(1) as u64)).unwrap_or(0)
    }

    pub(crate) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub(crate) fn pick<T: Copy, const COUNT: usize>(&mut self, list: [T; COUNT]) -> T {
        list[self.below(COUNT)]
    }

    /// Returns a size, length, offset or count that is worth trying in a file of `length` bytes.
    pub(crate) fn number(&mut self, length: usize) -> u64 {
        let length = length as u64;
        match self.below(12) {
            0 => 0,
            1 => 1,
            2 => u64::MAX,
            3 => u64::MAX >> 1,
            4 => u64::from(u32::MAX),
            5 => 1 << 31,
            6 => length,
            7 => length.wrapping_sub(1),
            8 => (self.next() % length.max(1)) & !7,
            9 => self.next() % 256,
            10 => 1 << self.below(64),
            _ => self.next(),
        }
    }
}
