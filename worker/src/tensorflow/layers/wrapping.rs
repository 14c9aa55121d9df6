//! Layers around layers.

use tensorflow::Output;

use super::{add, shape};
use crate::keras::layers::Layer;
use crate::tensorflow::ops::{Fault, Ops};

pub(super) fn chain(ops: &mut Ops, layers: &[Layer], input: &Output) -> Result<Output, Fault> {
    layers.iter().try_fold(input.clone(), |output, layer| add(ops, layer, &[output]))
}

/// The steps become an image of one row, whose row goes in the end.
pub(super) fn over_steps(ops: &mut Ops, layer: &Layer, input: &Output) -> Result<Output, Fault> {
    let row = ops.integers(&[], &[1])?;
    let image = ops.binary("ExpandDims", input, &row)?;
    let output = add(ops, layer, &[image])?;
    ops.squeeze(&output, &[1])
}

/// Turned before the layer, and back behind it where there still is an image.
pub(super) fn channels_first(ops: &mut Ops, layer: &Layer, input: &Output) -> Result<Output, Fault> {
    let axes = ops.sizes(input)?.len();
    let channels_last: Vec<usize> = (2..axes).chain([1]).collect();
    let turned = shape::permute(ops, &channels_last, input)?;
    let output = add(ops, layer, &[turned])?;
    if ops.sizes(&output)?.len() != axes {
        return Ok(output);
    }
    let channels_first: Vec<usize> = [axes - 1].into_iter().chain(1..axes - 1).collect();
    shape::permute(ops, &channels_first, &output)
}
