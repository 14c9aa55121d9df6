//! Dot product of two inputs over an axis of each.

use tensorflow::Output;

use crate::layers::normalization::layer::of_length_one;
use crate::layers::reshaping;
use crate::ops::{Fault, Ops, to_i32};
use keras::layers::Dot;

/// Computes a matrix product for each image. The contracted axis is transposed to the end of the first input and to the
/// front of the second. The other axes of each are flattened.
pub(in crate::layers) fn dot(ops: &mut Ops, by: &Dot, inputs: &[Output]) -> Result<Output, Fault> {
    let [left, right] = inputs else {
        return Err(Fault(format!("it has {} inputs, expected 2", inputs.len())));
    };
    let left = Side::new(ops, by, left, 0)?;
    let right = Side::new(ops, by, right, 1)?;
    let summed = left.summed.or(right.summed);
    let summed = to_i32(summed.ok_or_else(|| Fault("it sums an axis of no fixed size".to_owned()))?)?;
    let rows = ops.reshape(&left.input, &[one_size(&left.others)?, summed])?;
    let columns = ops.reshape(&right.input, &[summed, one_size(&right.others)?])?;
    let products = ops.binary("BatchMatMulV2", &rows, &columns)?;

    let mut target = Vec::new();
    for size in left.others.iter().chain(&right.others) {
        target.push(size.map_or(Ok(-1), to_i32)?);
    }
    if target.is_empty() {
        target.push(1);
    }
    if target.iter().filter(|size| **size == -1).count() > 1 {
        return Err(Fault("its output has several axes of no fixed size, expected at most one".to_owned()));
    }
    ops.reshape(&products, &target)
}

/// An input with its contracted axis where the matrix product sums.
struct Side {
    input: Output,
    summed: Option<usize>,
    /// Sizes of the other axes, without the batch.
    others: Vec<Option<usize>>,
}

impl Side {
    fn new(ops: &mut Ops, by: &Dot, input: &Output, side: usize) -> Result<Self, Fault> {
        let axis = ops.axis(input, by.axes[side])?;
        if axis == 0 {
            return Err(Fault("it sums over the batch, expected an axis after it".to_owned()));
        }
        let mut sizes = ops.sizes(input)?;
        let input = match by.epsilon {
            Some(epsilon) => {
                let along = ops.integers(&[1], &[to_i32(axis)?])?;
                of_length_one(ops, input, &along, epsilon)?
            }
            None => input.clone(),
        };
        let others = (1..sizes.len()).filter(|other| *other != axis);
        let order: Vec<usize> = if side == 0 {
            others.chain([axis]).collect()
        } else {
            std::iter::once(axis).chain(others).collect()
        };
        let input = reshaping::permute(ops, &order, &input)?;
        let summed = sizes.remove(axis);
        sizes.remove(0);
        Ok(Self { input, summed, others: sizes })
    }
}

/// The size of these axes flattened; -1 where it is unknown.
fn one_size(sizes: &[Option<usize>]) -> Result<i32, Fault> {
    match sizes.iter().copied().collect::<Option<Vec<usize>>>() {
        Some(sizes) => to_i32(sizes.into_iter().product()),
        None => Ok(-1),
    }
}
