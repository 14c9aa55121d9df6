//! Weights and other constants.

use std::fmt;
use std::sync::Arc;

/// A dense float32 array; cheap to clone.
///
/// A tensor that has a shape but no values stands for weights that were not read. It is enough to find shapes.
#[derive(Clone, PartialEq)]
pub struct Tensor {
    /// Sizes; empty for a scalar.
    pub shape: Vec<usize>,
    /// Row-major; as many as the product of `shape`.
    pub values: Arc<[f32]>,
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor{:?}", self.shape)
    }
}

impl Tensor {
    /// A tensor of this shape with these values.
    #[must_use]
    pub fn new(shape: &[usize], values: impl Into<Arc<[f32]>>) -> Self {
        Self { shape: shape.to_vec(), values: values.into() }
    }

    /// A single number, without axes.
    #[must_use]
    pub fn scalar(value: f32) -> Self {
        Self::new(&[], [value])
    }

    /// Numbers along one axis.
    #[must_use]
    pub fn vector(values: impl Into<Arc<[f32]>>) -> Self {
        let values = values.into();
        Self { shape: vec![values.len()], values }
    }

    /// How many values its shape has room for; `None` where that overflows.
    #[must_use]
    pub fn elements(&self) -> Option<usize> {
        self.shape.iter().try_fold(1_usize, |product, size| product.checked_mul(*size))
    }

    /// Returns whether it holds its values.
    #[must_use]
    pub fn is_read(&self) -> bool {
        !self.values.is_empty()
    }

    /// The same values in another shape with as many elements. They are shared.
    #[must_use]
    pub fn reshaped(&self, shape: &[usize]) -> Self {
        Self { shape: shape.to_vec(), values: Arc::clone(&self.values) }
    }

    /// Each value mapped by a function.
    #[must_use]
    pub fn map(&self, function: impl FnMut(f32) -> f32) -> Self {
        Self { shape: self.shape.clone(), values: self.values.iter().copied().map(function).collect() }
    }

    /// Returns whether both are the same values in memory, in the same shape.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.values, &other.values) && self.shape == other.shape
    }
}
