//! `Dot`: the dot product of two inputs over an axis of each.

use model::{Builder, Fault, Shape, Size, Value};

use crate::architecture::Dialect;
use crate::layers::Layer;
use crate::layers::lowering::{Lower, axis_of};
use crate::reader::Reader;

/// The dot product of two inputs over an axis of each.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Dot {
    /// The axis of each, counted with the batch; may be negative.
    axes: [i64; 2],
    /// Where the inputs are first normalized to length one along these axes: the lower bound of the sum of squares.
    epsilon: Option<f32>,
}

impl Lower for Dot {
    /// A matrix product for each image. The summed axis is transposed to the end of the first input and to the front of
    /// the second. The other axes of each become one.
    fn lower(&self, builder: &mut Builder, inputs: &[Value]) -> Result<Value, Fault> {
        let [left, right] = *inputs else {
            return Err(Fault(format!("it is called on {} inputs, expected 2", inputs.len())));
        };
        let shapes = [left, right].map(|input| builder.shape(input).clone());
        let axes = [axis_of(self.axes[0], builder, left)?, axis_of(self.axes[1], builder, right)?];
        let Some(summed) = shapes[0][axes[0]].fitted(shapes[1][axes[1]]) else {
            return Err(Fault(format!(
                "its inputs have shapes {}, expected equal sizes on the axes {:?}",
                Shape::described_all(&shapes),
                self.axes
            )));
        };
        let others = [0, 1].map(|side: usize| -> Vec<usize> {
            (1..shapes[side].len()).filter(|axis| *axis != axes[side]).collect()
        });
        let sizes = [0, 1]
            .map(|side: usize| -> Shape { others[side].iter().map(|axis| shapes[side][*axis]).collect() });

        let left = self.normalized(builder, left, axes[0])?;
        let order: Vec<usize> = [0].into_iter().chain(others[0].iter().copied()).chain([axes[0]]).collect();
        let left = builder.transpose(left, &order)?;
        let rows = Shape(vec![shapes[0][0], flat(&sizes[0])?, summed]);
        let rows = builder.reshape(left, rows)?;

        let right = self.normalized(builder, right, axes[1])?;
        let order: Vec<usize> = [0, axes[1]].into_iter().chain(others[1].iter().copied()).collect();
        let right = builder.transpose(right, &order)?;
        let columns = Shape(vec![shapes[1][0], summed, flat(&sizes[1])?]);
        let columns = builder.reshape(right, columns)?;

        let products = builder.matrix_product(rows, columns)?;
        let mut result = vec![shapes[0][0]];
        result.extend(sizes.iter().flat_map(|sizes| sizes.iter().copied()));
        if result.len() == 1 {
            result.push(Size::Known(1));
        }
        builder.reshape(products, Shape(result))
    }
}

impl Dot {
    fn normalized(&self, builder: &mut Builder, x: Value, axis: usize) -> Result<Value, Fault> {
        match self.epsilon {
            Some(epsilon) => builder.of_length_one(x, &[axis], epsilon),
            None => Ok(x),
        }
    }
}

/// The size of axes that become one.
fn flat(sizes: &Shape) -> Result<Size, Fault> {
    match sizes.elements() {
        Some(size) => Ok(Size::Known(size)),
        None if sizes.is_open() => Ok(Size::Open),
        None => Err("its output is too large to be computed".into()),
    }
}

pub(in crate::layers) fn dot(reader: &mut Reader) -> Layer {
    let axes = match reader.integers("axes").as_deref() {
        Some([both]) => [*both; 2],
        Some([first, second]) => [*first, *second],
        Some(_) | None => {
            reader.fault("its config has no `axes` of one or two whole numbers");
            [-1; 2]
        }
    };
    let epsilon = match reader.dialect {
        Dialect::Keras2 => 1e-12,
        // Keras 3 bounds the length, by 1e-7, instead of its square.
        Dialect::Keras3 => 1e-14,
    };
    Layer::own(Dot { axes, epsilon: reader.flag_or("normalize", false).then_some(epsilon) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::lowered::{check, fault};

    #[test]
    fn the_summed_axes_meet_in_a_matrix_product() {
        let by = Dot { axes: [1, -1], epsilon: None };
        check(
            &["6, 4, 5", "3, 6"],
            |builder, inputs| by.lower(builder, inputs),
            "
            %0 = input() : [batch, 6, 4, 5]
            %1 = unresolved(%0) : [batch, 3, 6]
            %2 = transpose(%0, order [0, 2, 3, 1]) : [batch, 4, 5, 6]
            %3 = reshape(%2) : [batch, 20, 6]
            %4 = transpose(%1, order [0, 2, 1]) : [batch, 6, 3]
            %5 = matrix_product(%3, %4) : [batch, 20, 3]
            %6 = reshape(%5) : [batch, 4, 5, 3]
            outputs %6
            ",
        );
    }

    #[test]
    fn two_vectors_give_a_number() {
        let by = Dot { axes: [1, 1], epsilon: None };
        check(
            &["3", "3"],
            |builder, inputs| by.lower(builder, inputs),
            "
            %0 = input() : [batch, 3]
            %1 = unresolved(%0) : [batch, 3]
            %2 = reshape(%0) : [batch, 1, 3]
            %3 = reshape(%1) : [batch, 3, 1]
            %4 = matrix_product(%2, %3) : [batch, 1, 1]
            %5 = reshape(%4) : [batch, 1]
            outputs %5
            ",
        );
    }

    #[test]
    fn axes_of_unequal_sizes_are_faults() {
        let check = |axes, inputs: &[&str], expected: &str| {
            let by = Dot { axes, epsilon: None };
            assert_eq!(fault(inputs, |builder, inputs| by.lower(builder, inputs)), expected);
        };
        let unequal = "its inputs have shapes [4, 3] and [4, 2], expected equal sizes on the axes [2, 2]";
        check([2, 2], &["4, 3", "4, 2"], unequal);
        check([1, 0], &["4", "4"], "`axis` is 0, expected an axis of its input, [4] after the batch");
        check([1, 1], &["4"], "it is called on 1 inputs, expected 2");
        check(
            [1, 1],
            &["4, 3", "batch * 4, 4, 3"],
            "it joins values of which a reshape folded some into the batch, expected all or none of them there",
        );
    }
}
