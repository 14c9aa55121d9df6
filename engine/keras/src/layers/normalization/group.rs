//! `GroupNormalization`.

use model::{Binary, Builder, Fault, Shape, Size, Unary, Value};

use super::size_of_axis;
use crate::Tensor;
use crate::layers::Layer;
use crate::layers::lowering::axis_of;
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

impl GroupNorm {
    /// Transposes the axis with the groups to the end and splits it: `[batch, all else, groups, size of a group]`.
    pub(in crate::layers) fn lower(&self, builder: &mut Builder, x: Value) -> Result<Value, Fault> {
        let axis = axis_of(self.axis, builder, x)?;
        let each = self.size_of_groups(axis, builder.shape(x))?;
        let axes = builder.shape(x).len();
        let to_last: Vec<usize> = (0..axes).filter(|other| *other != axis).chain([axis]).collect();
        let transposed = builder.transpose(x, &to_last)?;
        let before = builder.shape(transposed).clone();
        let mut split = before.with(axes - 1, Size::Known(self.groups));
        split.0.push(Size::Known(each));
        let grouped = builder.reshape(transposed, split)?;

        let over: Vec<usize> = (1..=axes).filter(|axis| axis + 1 != axes).collect();
        let centred = builder.centred(grouped, &over)?;
        let variance = builder.with_scalar(Binary::Add, centred.variance, self.epsilon)?;
        let scale = builder.unary(Unary::Rsqrt, variance)?;
        let mut output = builder.binary(Binary::Multiply, centred.values, scale)?;
        for (function, weight) in [(Binary::Multiply, &self.gamma), (Binary::Add, &self.beta)] {
            if let Some(weight) = weight {
                output = builder.with_constant(function, output, &weight.reshaped(&[self.groups, each]))?;
            }
        }

        let output = builder.reshape(output, before)?;
        let back: Vec<usize> = (0..axis).chain([axes - 1]).chain(axis..axes - 1).collect();
        builder.transpose(output, &back)
    }

    fn size_of_groups(&self, axis: usize, shape: &Shape) -> Result<usize, Fault> {
        let expected =
            [&self.gamma, &self.beta].into_iter().flatten().find_map(|weight| weight.shape.first());
        let fits = |size: &usize| {
            size.is_multiple_of(self.groups) && expected.is_none_or(|expected| expected == size)
        };
        match shape[axis].known().filter(fits) {
            Some(size) => Ok(size / self.groups),
            None => Err(Fault(format!(
                "its input has shape {}, expected one whose axis {} has {} groups",
                shape.described(),
                axis - 1,
                self.groups
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::lowered::{check, fault};

    fn of(axis: i64) -> GroupNorm {
        let weight = Tensor::vector([1.0, 2.0, 3.0, 4.0]);
        GroupNorm { axis, groups: 2, gamma: Some(weight), beta: None, epsilon: 0.5 }
    }

    #[test]
    fn groups_get_an_axis_of_their_own() {
        check(
            &["4, ?, 3"],
            |builder, inputs| of(1).lower(builder, inputs[0]),
            "
            %0 = input() : [batch, 4, ?, 3]
            %1 = transpose(%0, order [0, 2, 3, 1]) : [batch, ?, 3, 4]
            %2 = reshape(%1) : [batch, ?, 3, 2, 2]
            %3 = mean(%2, axes [1, 2, 4], kept) : [batch, 1, 1, 2, 1]
            %4 = subtract(%2, %3) : [batch, ?, 3, 2, 2]
            %5 = square(%4) : [batch, ?, 3, 2, 2]
            %6 = mean(%5, axes [1, 2, 4], kept) : [batch, 1, 1, 2, 1]
            %7 = constant(0.5) : []
            %8 = add(%6, %7) : [batch, 1, 1, 2, 1]
            %9 = rsqrt(%8) : [batch, 1, 1, 2, 1]
            %10 = multiply(%4, %9) : [batch, ?, 3, 2, 2]
            %11 = constant(1.0, 2.0, 3.0, 4.0) : [2, 2]
            %12 = multiply(%10, %11) : [batch, ?, 3, 2, 2]
            %13 = reshape(%12) : [batch, ?, 3, 4]
            %14 = transpose(%13, order [0, 3, 1, 2]) : [batch, 4, ?, 3]
            outputs %14
            ",
        );
    }

    #[test]
    fn an_axis_that_has_no_such_groups_is_a_fault() {
        let fault = |axis| fault(&["4, 5"], |builder, inputs| of(axis).lower(builder, inputs[0]));
        assert_eq!(fault(-1), "its input has shape [4, 5], expected one whose axis 1 has 2 groups");
        assert_eq!(fault(0), "`axis` is 0, expected an axis of its input, [4, 5] after the batch");
    }
}
