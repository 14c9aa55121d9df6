//! How windows move over images: those of convolutions, pooling and patches.

use model::Window;

use crate::json::shown;
use crate::reader::Reader;

/// How a window is padded at the image's edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// Only whole windows.
    Valid,
    /// As many outputs as `ceil(size / stride)`.
    Same,
}

impl From<Padding> for model::Padding {
    fn from(padding: Padding) -> Self {
        match padding {
            Padding::Valid => Self::VALID,
            Padding::Same => Self::Same,
        }
    }
}

/// How windows move, whatever their size.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moves {
    /// Vertical, horizontal.
    pub(super) strides: [usize; 2],
    /// Vertical, horizontal.
    pub(super) dilation: [usize; 2],
    pub(super) padding: Padding,
}

impl Moves {
    /// The vertical and the horizontal window of a height and a width, the first two of `sizes`.
    pub(super) fn windows(self, sizes: &[usize]) -> [Window; 2] {
        [0, 1].map(|axis| Window {
            size: sizes.get(axis).copied().unwrap_or(0),
            stride: self.strides[axis],
            dilation: self.dilation[axis],
            padding: self.padding.into(),
        })
    }
}

impl Reader<'_> {
    /// Returns `padding`, the padding of a window.
    pub(super) fn padding(&mut self) -> Padding {
        match self.value("padding") {
            None => Padding::Valid,
            Some(value) if value == "valid" => Padding::Valid,
            Some(value) if value == "same" => Padding::Same,
            Some(value) => {
                self.fault(format!("`padding` is {}, expected \"valid\" or \"same\"", shown(value)));
                Padding::Valid
            }
        }
    }
}
