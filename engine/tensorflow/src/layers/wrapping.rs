//! Layers around layers.

use tensorflow::Output;

use super::{add, reshaping};
use crate::ops::{Fault, Ops, to_i32};
use keras::layers::Layer;

pub(super) fn sequential(ops: &mut Ops, layers: &[Layer], input: &Output) -> Result<Output, Fault> {
    layers.iter().try_fold(input.clone(), |output, layer| add(ops, layer, &[output]))
}

/// Makes the sequence an image of one row, and drops that axis at the end.
pub(super) fn over_sequence(ops: &mut Ops, layer: &Layer, input: &Output) -> Result<Output, Fault> {
    let row = ops.integers(&[], &[1])?;
    let image = ops.binary("ExpandDims", input, &row)?;
    let output = add(ops, layer, &[image])?;
    ops.squeeze(&output, &[1])
}

/// Transposes to channels last before the layer, and back after it where the output has as many axes.
pub(super) fn channels_first(ops: &mut Ops, layer: &Layer, input: &Output) -> Result<Output, Fault> {
    let axes = ops.sizes(input)?.len();
    let channels_last: Vec<usize> = (2..axes).chain([1]).collect();
    let transposed = reshaping::permute(ops, &channels_last, input)?;
    let output = add(ops, layer, &[transposed])?;
    if ops.sizes(&output)?.len() != axes {
        return Ok(output);
    }
    let channels_first: Vec<usize> = [axes - 1].into_iter().chain(1..axes - 1).collect();
    reshaping::permute(ops, &channels_first, &output)
}

/// Folds the sequence into the batch before the layer, and unfolds it after the layer.
pub(super) fn time_distributed(ops: &mut Ops, layer: &Layer, input: &Output) -> Result<Output, Fault> {
    let length = ops.sizes(input)?.get(1).copied().flatten();
    let folded = folded(ops, input)?;
    let before = ops.with_rows(ops.rows().saturating_mul(length.unwrap_or(1)));
    let output = add(ops, layer, &[folded]);
    ops.with_rows(before);
    let output = output?;
    let sizes: Option<Vec<usize>> =
        std::iter::once(length).chain(ops.sizes(&output)?.into_iter().skip(1)).collect();
    if let Some(sizes) = sizes {
        let target = sizes.into_iter().map(to_i32).collect::<Result<Vec<_>, _>>()?;
        return ops.reshape(&output, &target);
    }
    let axes = to_i32(ops.sizes(&output)?.len())?;
    let batch_and_length = ops.dynamic_sizes(input, 0, 2)?;
    let rest = ops.dynamic_sizes(&output, 1, axes)?;
    let shape = ops.concatenate(&[batch_and_length, rest], 0)?;
    ops.binary("Reshape", &output, &shape)
}

fn folded(ops: &mut Ops, input: &Output) -> Result<Output, Fault> {
    let sizes: Option<Vec<usize>> = ops.sizes(input)?.into_iter().skip(2).collect();
    if let Some(sizes) = sizes {
        let target = sizes.into_iter().map(to_i32).collect::<Result<Vec<_>, _>>()?;
        return ops.reshape(input, &target);
    }
    let axes = to_i32(ops.sizes(input)?.len())?;
    let all = ops.integers(&[1], &[-1])?;
    let rest = ops.dynamic_sizes(input, 2, axes)?;
    let shape = ops.concatenate(&[all, rest], 0)?;
    ops.binary("Reshape", input, &shape)
}
