//! Random numbers.

use model::Tensor;

/// Numbers that a seed determines: SplitMix64, of Steele et al. 2014, "Fast Splittable Pseudorandom Number Generators".
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number, both ends included.
    pub fn between(&mut self, least: usize, most: usize) -> usize {
        let range = (most - least + 1) as u64;
        least + usize::try_from(self.next() % range).unwrap_or_default()
    }

    /// Returns whether something happens that does so once in so many times.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.between(1, times) == 1
    }

    /// One of some things.
    pub fn pick<T: Copy>(&mut self, things: &[T]) -> T {
        things[self.between(0, things.len() - 1)]
    }

    /// A multiple of 1/16 from -2 to 2.
    pub fn weight(&mut self) -> f32 {
        let sixteenths = u8::try_from(self.between(0, 64)).unwrap_or_default();
        f32::from(sixteenths) / 16.0 - 2.0
    }

    /// So many of them.
    pub fn weight_vector(&mut self, size: usize) -> Tensor {
        Tensor::vector((0..size).map(|_| self.weight()).collect::<Vec<_>>())
    }

    /// Numbers in another order.
    pub fn shuffle(&mut self, numbers: &mut [usize]) {
        for last in (1..numbers.len()).rev() {
            let other = self.between(0, last);
            numbers.swap(last, other);
        }
    }
}
