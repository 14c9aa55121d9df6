//! Batch normalization.

use crate::tensor::Tensor;

/// `gamma * (x - mean) / sqrt(variance + epsilon) + beta`, with numbers of their own for each element of one axis.
///
/// The five are kept apart, not as a scale and an offset, since whoever folds them into a kernel rounds only once.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchNorm {
    /// The axis.
    pub axis: usize,
    /// `[size of axis]`; 1 without it.
    pub gamma: Option<Tensor>,
    /// `[size of axis]`; 0 without it.
    pub beta: Option<Tensor>,
    /// `[size of axis]`.
    pub mean: Tensor,
    /// `[size of axis]`.
    pub variance: Tensor,
    /// Added to the variance.
    pub epsilon: f32,
}

impl BatchNorm {
    /// Scale and offset of each element of the axis, in double precision; none where the weights were not read.
    #[must_use]
    pub fn affine(&self) -> Vec<(f64, f64)> {
        let value = |tensor: &Tensor, index: usize| tensor.values.get(index).copied().map(f64::from);
        let or = |tensor: &Option<Tensor>, index: usize, default: f64| match tensor {
            Some(tensor) => value(tensor, index),
            None => Some(default),
        };
        let element = |index: usize| {
            let deviation = (value(&self.variance, index)? + f64::from(self.epsilon)).sqrt();
            let scale = or(&self.gamma, index, 1.0)? / deviation;
            Some((scale, or(&self.beta, index, 0.0)? - value(&self.mean, index)? * scale))
        };
        (0..self.mean.values.len()).map_while(element).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_normalization_is_a_scale_and_an_offset() {
        let norm = BatchNorm {
            axis: 3,
            gamma: Some(Tensor::vector([3.0, 1.0])),
            beta: None,
            mean: Tensor::vector([1.0, 2.0]),
            variance: Tensor::vector([3.75, 0.0]),
            epsilon: 0.25,
        };
        // 3 / sqrt(4) and 1 / sqrt(0.25).
        assert_eq!(norm.affine(), [(1.5, -1.5), (2.0, -4.0)]);
    }
}
