//! Windows that move over an axis.

use crate::fault::Fault;
use crate::shape::Size;

/// How a window goes beyond the ends of its axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Padding {
    /// TensorFlow's `SAME`: `ceil(length / stride)` outputs with the least padding. If the padding is odd, the extra
    /// position is after the axis. It depends on the length, which may be open.
    Same,
    /// So many positions.
    Explicit {
        /// Before the axis.
        before: usize,
        /// After the axis.
        after: usize,
    },
}

impl Padding {
    /// Only whole windows.
    pub const VALID: Self = Self::Explicit { before: 0, after: 0 };
}

/// A window that moves along one axis: of a convolution's kernel, of a pooling, of patches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// The positions that it sees.
    pub size: usize,
    /// How far it moves, at least 1.
    pub stride: usize,
    /// The distance of the positions that it sees, 1 where they touch.
    pub dilation: usize,
    /// How it goes beyond the ends.
    pub padding: Padding,
}

impl Window {
    /// A window that sees so many positions side by side, moves by one, and stays inside.
    #[must_use]
    pub const fn of(size: usize) -> Self {
        Self { size, stride: 1, dilation: 1, padding: Padding::VALID }
    }

    /// From the first position that it sees to the last.
    #[must_use]
    pub fn reach(self) -> usize {
        self.size.saturating_sub(1).saturating_mul(self.dilation).saturating_add(1)
    }

    /// How many positions the windows go beyond an axis of this length, before and after it.
    #[must_use]
    pub fn beyond(self, length: usize) -> [usize; 2] {
        match self.padding {
            Padding::Explicit { before, after } => [before, after],
            Padding::Same => {
                let moved = length.div_ceil(self.stride.max(1)).saturating_sub(1).saturating_mul(self.stride);
                let more = moved.saturating_add(self.reach()).saturating_sub(length);
                [more / 2, more - more / 2]
            }
        }
    }

    /// How many windows fit an axis.
    ///
    /// # Errors
    /// None fits, or the window has no size or does not move.
    pub fn output(self, length: Size) -> Result<Size, Fault> {
        if self.size == 0 || self.stride == 0 || self.dilation == 0 {
            return Err(Fault(format!(
                "its window has size {}, stride {} and dilation {}, expected at least 1",
                self.size, self.stride, self.dilation
            )));
        }
        length.try_map(|length| match self.padding {
            Padding::Same => Ok(length.div_ceil(self.stride)),
            Padding::Explicit { before, after } => {
                let length = length.saturating_add(before).saturating_add(after);
                match length.checked_sub(self.reach()) {
                    Some(room) => Ok(room / self.stride + 1),
                    None => Err(Fault(format!(
                        "its window of {} does not fit its input of {length} pixels",
                        self.reach()
                    ))),
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(size: usize, stride: usize, dilation: usize) -> Window {
        Window { size, stride, dilation, padding: Padding::Same }
    }

    #[test]
    fn odd_padding_goes_to_the_end() {
        // As `tf.nn.conv2d` documents `SAME`: https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2
        let check = |window: Window, length, expected| {
            assert_eq!(window.beyond(length), expected, "{window:?} {length}");
        };
        check(same(3, 2, 1), 224, [0, 1]);
        check(same(3, 2, 1), 225, [1, 1]);
        check(same(3, 1, 1), 7, [1, 1]);
        check(same(7, 2, 1), 224, [2, 3]);
        check(same(2, 1, 1), 5, [0, 1]);
        check(same(1, 2, 1), 5, [0, 0]);
        check(same(3, 1, 2), 9, [2, 2]);
        check(Window { padding: Padding::Explicit { before: 1, after: 4 }, ..same(3, 1, 1) }, 9, [1, 4]);
    }

    #[test]
    fn windows_fill_the_axis() {
        let valid = |size, stride, dilation| Window { size, stride, dilation, padding: Padding::VALID };
        let check = |window: Window, length: usize, expected: Result<usize, &str>| {
            let found = window.output(Size::Known(length));
            let expected = expected.map(Size::Known).map_err(Fault::from);
            assert_eq!(found, expected, "{window:?} {length}");
        };
        check(valid(3, 2, 1), 224, Ok(111));
        check(same(3, 2, 1), 224, Ok(112));
        check(valid(3, 1, 2), 9, Ok(5));
        check(valid(5, 1, 1), 3, Err("its window of 5 does not fit its input of 3 pixels"));
        check(valid(5, 0, 1), 9, Err("its window has size 5, stride 0 and dilation 1, expected at least 1"));
        assert_eq!(valid(3, 2, 1).output(Size::Open), Ok(Size::Open));
    }
}
