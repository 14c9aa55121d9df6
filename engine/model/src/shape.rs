//! Shapes of values.

use std::fmt;
use std::ops::Deref;

use crate::fault::Fault;

/// The size of one axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Size {
    /// Known now.
    Known(usize),
    /// The number of images in a run, times this number of rows for each. It is one until a reshape folds parts of an image
    /// into the batch.
    Batch(usize),
    /// Left open by the model: known once the size of the images is.
    Open,
}

impl Size {
    /// The size, where it is known.
    #[must_use]
    pub fn known(self) -> Option<usize> {
        match self {
            Self::Known(size) => Some(size),
            Self::Batch(_) | Self::Open => None,
        }
    }

    /// Returns whether the axis is that of the images.
    #[must_use]
    pub fn is_batch(self) -> bool {
        matches!(self, Self::Batch(_))
    }

    /// The one size that both can be; `None` where they contradict.
    #[must_use]
    pub fn fitted(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Open, size) | (size, Self::Open) => Some(size),
            (one, other) => (one == other).then_some(one),
        }
    }

    /// The size that both broadcast to, as in NumPy; `None` where they do not.
    #[must_use]
    pub fn broadcast(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Known(1), size) | (size, Self::Known(1)) => Some(size),
            (one, other) => one.fitted(other),
        }
    }

    /// The size changed by a function, where it is known.
    ///
    /// # Errors
    /// Those of the function.
    pub fn try_map(self, change: impl FnOnce(usize) -> Result<usize, Fault>) -> Result<Self, Fault> {
        match self {
            Self::Known(size) => change(size).map(Self::Known),
            Self::Batch(_) | Self::Open => Ok(self),
        }
    }

    /// The size multiplied by a factor.
    ///
    /// # Errors
    /// The product overflows.
    pub fn times(self, factor: usize) -> Result<Self, Fault> {
        self.try_map(|size| {
            size.checked_mul(factor).ok_or_else(|| "its output is too large to be computed".into())
        })
    }
}

impl From<usize> for Size {
    fn from(size: usize) -> Self {
        Self::Known(size)
    }
}

impl From<Option<usize>> for Size {
    fn from(size: Option<usize>) -> Self {
        size.map_or(Self::Open, Self::Known)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(size) => size.fmt(f),
            Self::Batch(1) => f.write_str("batch"),
            Self::Batch(rows) => write!(f, "batch * {rows}"),
            Self::Open => f.write_str("?"),
        }
    }
}

/// The sizes of all axes, the batch among them: `[batch, 224, 224, 3]`. The value of a constant has no batch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shape(pub Vec<Size>);

impl Deref for Shape {
    type Target = [Size];

    fn deref(&self) -> &[Size] {
        &self.0
    }
}

impl FromIterator<Size> for Shape {
    fn from_iter<I: IntoIterator<Item = Size>>(sizes: I) -> Self {
        Self(sizes.into_iter().collect())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&listed(self))
    }
}

impl Shape {
    /// A batch of values with these sizes, one for each image.
    #[must_use]
    pub fn batched(sizes: impl IntoIterator<Item = impl Into<Size>>) -> Self {
        std::iter::once(Size::Batch(1)).chain(sizes.into_iter().map(Into::into)).collect()
    }

    /// The shape of a constant.
    #[must_use]
    pub fn known(sizes: &[usize]) -> Self {
        sizes.iter().copied().map(Size::Known).collect()
    }

    /// The shape with another size on this axis.
    #[must_use]
    pub fn with(&self, axis: usize, size: Size) -> Self {
        let sizes = self.iter().enumerate();
        sizes.map(|(index, old)| if index == axis { size } else { *old }).collect()
    }

    /// Returns whether any axis is left open. An engine needs to know all but the batch.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.contains(&Size::Open)
    }

    /// The rows of the batch that belong to one image; one for a constant.
    #[must_use]
    pub fn rows(&self) -> usize {
        let batch = self.iter().find_map(|size| match size {
            Size::Batch(rows) => Some(*rows),
            Size::Known(_) | Size::Open => None,
        });
        batch.unwrap_or(1)
    }

    /// How many values there are for each image; `None` where a size is open or the product overflows.
    #[must_use]
    pub fn elements(&self) -> Option<usize> {
        self.iter().try_fold(1_usize, |product, size| match size {
            Size::Known(size) | Size::Batch(size) => product.checked_mul(*size),
            Size::Open => None,
        })
    }

    /// How many values there are at least for each image, at most `usize::MAX`.
    #[must_use]
    pub fn least_elements(&self) -> usize {
        let sizes = self.iter().map(|size| match size {
            Size::Known(size) | Size::Batch(size) => *size,
            Size::Open => 1,
        });
        sizes.fold(1, usize::saturating_mul)
    }

    /// The sizes that an error shows: those after the batch, `[224, 224, 3]`, with `?` for a size left open. A value with
    /// no batch in front is shown whole.
    #[must_use]
    pub fn described(&self) -> String {
        match self.split_first() {
            Some((Size::Batch(_), rest)) => listed(rest),
            Some(_) | None => listed(self),
        }
    }

    /// Shapes as an error shows them, with "and" between.
    #[must_use]
    pub fn described_all<'a>(shapes: impl IntoIterator<Item = &'a Self>) -> String {
        shapes.into_iter().map(Self::described).collect::<Vec<_>>().join(" and ")
    }

    /// Height, width and channels of a batch of images.
    ///
    /// # Errors
    /// It has not four axes.
    pub fn image(&self) -> Result<[Size; 3], Fault> {
        match self[..] {
            [_, height, width, channels] => Ok([height, width, channels]),
            _ => Err(Fault(format!(
                "its input has shape {}, expected [height, width, channels]",
                self.described()
            ))),
        }
    }
}

fn listed(sizes: &[Size]) -> String {
    let sizes: Vec<String> = sizes.iter().map(Size::to_string).collect();
    format!("[{}]", sizes.join(", "))
}
