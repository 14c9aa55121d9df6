//! Operations that move values, and those that resize images.

use crate::shape::Size;

/// A slice of one axis, `start:stop:step`, with Python's rules: negative numbers count from the end, missing ones are the
/// ends in the direction of the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Range {
    /// The first element.
    pub start: Option<i64>,
    /// The one after the last.
    pub stop: Option<i64>,
    /// Never 0.
    pub step: i64,
}

/// The elements that a [`Range`] takes out of an axis of known size: `start + step * index` for each index below `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    /// The first element, counted from 0.
    pub start: usize,
    /// How many.
    pub count: usize,
    /// From one to the next; may be negative.
    pub step: i64,
}

impl Range {
    /// The whole axis.
    pub const WHOLE: Self = Self { start: None, stop: None, step: 1 };

    /// The elements from `start` to the one before `stop`.
    #[must_use]
    pub fn between(start: usize, stop: usize) -> Self {
        let number = |position: usize| i64::try_from(position).ok();
        Self { start: number(start), stop: Some(number(stop).unwrap_or(i64::MAX)), step: 1 }
    }

    /// What it takes out of an axis of this size.
    #[must_use]
    pub fn of(self, size: usize) -> Steps {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let step = if self.step == 0 { 1 } else { self.step };
        let (lowest, highest) = if step > 0 { (0, size) } else { (-1, size - 1) };
        let bound =
            |bound: i64| if bound < 0 { bound.saturating_add(size) } else { bound }.clamp(lowest, highest);
        let (first, end) = if step > 0 { (lowest, highest) } else { (highest, lowest) };
        let start = self.start.map_or(first, bound);
        let stop = self.stop.map_or(end, bound);
        let distance = if step > 0 { stop - start } else { start - stop };
        let stride = usize::try_from(step.unsigned_abs()).unwrap_or(usize::MAX);
        let count = usize::try_from(distance).map_or(0, |distance| distance.div_ceil(stride));
        Steps { start: usize::try_from(start).unwrap_or(0), count, step }
    }

    /// The same elements of an axis of this size, by numbers that count from its front. [`Range::WHOLE`] where it takes all.
    #[must_use]
    pub fn resolved(self, size: usize) -> Self {
        let Steps { start, count, step } = self.of(size);
        if self.step == 0 || count == 0 {
            return self;
        }
        if count == size && step == 1 {
            return Self::WHOLE;
        }
        let number = |position: usize| i64::try_from(position).unwrap_or(i64::MAX);
        let last = number(start).saturating_add(step.saturating_mul(number(count - 1)));
        // A step beyond the front cannot be written as a number.
        let stop = last.saturating_add(step.signum());
        Self { start: Some(number(start)), stop: (stop >= 0).then_some(stop), step }
    }
}

/// What is around a padded value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PadMode {
    /// One number.
    Constant(f32),
    /// The value mirrored at its last element, which is not repeated: `[1, 2, 3]` becomes `[3, 2, 1, 2, 3, 2, 1]`.
    Reflect,
    /// The value mirrored at its edge: `[1, 2, 3]` becomes `[2, 1, 1, 2, 3, 3, 2]`.
    Symmetric,
}

/// Images of another height and width. Pixels have their centres at halves: the output pixel `i` lies at
/// `(i + 0.5) * input / output - 0.5` of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Resize {
    /// Height and width of the output.
    pub size: [Size; 2],
    /// How new pixels are computed.
    pub interpolation: Interpolation,
    /// Whether the kernel is widened when downsampling, so that every input pixel counts (antialiasing).
    /// [`Interpolation::Nearest`] and [`Interpolation::Area`] ignore it.
    pub antialias: bool,
}

/// Methods of interpolation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Interpolation {
    /// Nearest neighbour: the input pixel `floor((i + 0.5) * input / output)`.
    Nearest,
    /// Bilinear, of the 2×2 nearest pixels. Beyond the image its edge goes on.
    Bilinear,
    /// Bicubic, of the 4×4 nearest pixels, with Keys's kernel and a = -0.5. Weights beyond the image are dropped and the
    /// others scaled up to 1.
    Bicubic,
    /// The mean of the area that a pixel covers.
    Area,
    /// Lanczos, with a kernel of 6 pixels.
    Lanczos3,
    /// Lanczos, with a kernel of 10 pixels.
    Lanczos5,
    /// A Gaussian kernel of 3 pixels, `exp(-2 * distance²)`.
    Gaussian,
    /// Bicubic, of the 4×4 nearest pixels, with the kernel of Mitchell and Netravali.
    MitchellCubic,
}

impl Interpolation {
    /// Its name in the text of a graph.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nearest => "nearest",
            Self::Bilinear => "bilinear",
            Self::Bicubic => "bicubic",
            Self::Area => "area",
            Self::Lanczos3 => "lanczos3",
            Self::Lanczos5 => "lanczos5",
            Self::Gaussian => "gaussian",
            Self::MitchellCubic => "mitchell_cubic",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_python() {
        let check = |size, (start, stop, step), (first, count)| {
            let found = Range { start, stop, step }.of(size);
            assert_eq!((found.start, found.count), (first, count), "{size} {start:?}:{stop:?}:{step}");
        };
        // As the first element and the length of `range(size)[start:stop:step]`.
        check(5, (None, None, 1), (0, 5));
        check(5, (None, None, -1), (4, 5));
        check(5, (None, None, 2), (0, 3));
        check(5, (None, None, -2), (4, 3));
        check(5, (Some(1), Some(-1), 1), (1, 3));
        check(5, (Some(-2), None, 1), (3, 2));
        check(5, (Some(-9), Some(9), 1), (0, 5));
        check(5, (Some(3), Some(3), 1), (3, 0));
        check(5, (Some(4), Some(1), 1), (4, 0));
        check(5, (Some(9), Some(0), -1), (4, 4));
        check(5, (Some(2), None, -1), (2, 3));
    }

    #[test]
    fn resolved_ranges_count_from_the_front() {
        let check = |(start, stop, step), (first, end): (Option<i64>, Option<i64>)| {
            let found = Range { start, stop, step }.resolved(5);
            assert_eq!(found, Range { start: first, stop: end, step }, "{start:?}:{stop:?}:{step}");
        };
        check((None, Some(9), 1), (None, None));
        check((Some(-2), None, 1), (Some(3), Some(5)));
        check((Some(1), Some(-1), 1), (Some(1), Some(4)));
        check((None, None, -1), (Some(4), None));
        check((None, Some(1), -2), (Some(4), Some(1)));
        check((None, None, 2), (Some(0), Some(5)));
    }
}
