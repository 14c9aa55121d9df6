//! The batch sizes of runs.
//!
//! On a GPU the first run of each batch size is slow: cuDNN searches for the quickest algorithm for each convolution of that
//! size. So there are few sizes, all run once when the model is loaded, and a smaller run is padded to the next size.

/// The sizes of a model's runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RunSizes {
    /// Ascending; empty where a run may have any size.
    sizes: Vec<usize>,
}

impl RunSizes {
    /// Any size: no run is padded.
    pub(super) fn any() -> Self {
        Self { sizes: Vec::new() }
    }

    /// 1, 2, 4, 8, and from there each power of two and the middle between it and the next, so that at most a third of a run
    /// is padding. The last size is `largest`.
    pub(super) fn few(largest: usize) -> Self {
        let powers = std::iter::successors(Some(1_usize), |size| size.checked_mul(2));
        let sizes =
            powers.flat_map(|power| [Some(power), (power >= 8).then_some(power + power / 2)]).flatten();
        let sizes = sizes.take_while(|size| *size < largest).chain([largest]).collect();
        Self { sizes }
    }

    /// The size of a run for so many images.
    pub(super) fn room_for(&self, images: usize) -> usize {
        self.sizes.iter().copied().find(|size| *size >= images).unwrap_or(images)
    }

    /// The sizes up to this one.
    pub(super) fn up_to(&self, largest: usize) -> Self {
        Self { sizes: self.sizes.iter().copied().filter(|size| *size <= largest).collect() }
    }

    /// The sizes to run before the first batch.
    pub(super) fn all(&self) -> &[usize] {
        &self.sizes
    }

    /// Most images of a run.
    pub(super) fn largest(&self) -> usize {
        self.sizes.last().copied().unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_sizes_leave_little_room_for_nothing() {
        let sizes = RunSizes::few(64);
        assert_eq!(sizes.all(), [1, 2, 4, 8, 12, 16, 24, 32, 48, 64]);
        assert_eq!(RunSizes::few(20).all(), [1, 2, 4, 8, 12, 16, 20]);
        assert_eq!(RunSizes::few(1).all(), [1]);
        let rooms = [1, 3, 9, 33, 64].map(|images| sizes.room_for(images));
        assert_eq!(rooms, [1, 4, 12, 48, 64]);
        assert_eq!(sizes.up_to(12).all(), [1, 2, 4, 8, 12]);
        assert_eq!((sizes.largest(), sizes.room_for(65)), (64, 65), "a larger one is computed as it comes");
    }

    #[test]
    fn where_any_size_will_do_a_run_has_its_own() {
        let sizes = RunSizes::any();
        assert_eq!((sizes.room_for(7), sizes.largest()), (7, usize::MAX));
        assert!(sizes.all().is_empty());
    }
}
