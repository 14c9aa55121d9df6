//! `GroupNormalization`.

use super::size_of_axis;
use crate::Tensor;
use crate::layers::Layer;
use crate::reader::Reader;

/// [`Layer::GroupNorm`]: `gamma * (input - mean) / sqrt(variance + epsilon) + beta`. Mean and variance are those of each
/// group of consecutive channels of each image.
#[derive(Debug, Clone)]
pub struct GroupNorm {
    /// The axis that is split into groups, counted with the batch; may be negative.
    pub axis: i64,
    /// The number of groups, a divisor of the size of the axis.
    pub groups: usize,
    /// Learnt scale, `[size of axis]`.
    pub gamma: Option<Tensor>,
    /// Learnt offset, `[size of axis]`.
    pub beta: Option<Tensor>,
    /// Added to the variance.
    pub epsilon: f32,
}

pub(in crate::layers) fn group_normalization(reader: &mut Reader) -> Layer {
    let axis = reader.integer_or("axis", -1);
    let size = size_of_axis(reader, axis);
    let given = reader.integer_or("groups", 32);
    // -1 stands for as many groups as channels.
    let groups = if given == -1 { Some(size.unwrap_or(1)) } else { usize::try_from(given).ok() };
    let groups = groups.filter(|&groups| groups > 0 && size.is_none_or(|size| size.is_multiple_of(groups)));
    if groups.is_none() {
        reader.fault(format!("`groups` is {given}, expected -1 or a divisor of the size of axis {axis}"));
    }
    let scaled = reader.flag_or("scale", true);
    let centered = reader.flag_or("center", true);
    Layer::GroupNorm(GroupNorm {
        axis,
        groups: groups.unwrap_or(1),
        gamma: scaled.then(|| reader.weight(&["gamma"], &[size])),
        beta: centered.then(|| reader.weight(&["beta"], &[size])),
        epsilon: reader.number_or("epsilon", 1e-3),
    })
}
