//! Transposed convolutions.

use tensorflow::Output;

use super::convolution::{dilate, finish, image_kernel};
use super::{expect_last_axis, over_image, padding};
use crate::ops::{Attribute, Fault, Ops, to_i32};
use keras::layers::ConvTranspose2d;

/// Adds TensorFlow's operation for the gradient of a convolution. It takes the size of its output. On a CPU it does not
/// support dilation, so the kernel is dilated with zeros.
pub(super) fn conv_transpose2d(
    ops: &mut Ops,
    conv: &ConvTranspose2d,
    input: &Output,
) -> Result<Output, Fault> {
    let [_, _, filters, channels] = image_kernel(&conv.kernel)?;
    expect_last_axis(ops, input, channels)?;
    let [_, height, width, _] = ops.sizes(input)?[..] else {
        return Err(Fault(format!("its input has {} axes, expected 4", ops.sizes(input)?.len())));
    };
    let batch = ops.dynamic_sizes(input, 0, 1)?;
    let vertical = output_size(ops, conv, input, (0, height))?;
    let horizontal = output_size(ops, conv, input, (1, width))?;
    let filters = ops.integers(&[1], &[to_i32(filters)?])?;
    let size = ops.concatenate(&[batch, vertical, horizontal, filters], 0)?;
    let kernel = ops.weights(&dilate(&conv.kernel, conv.dilation)?)?;
    let output = ops.op(
        "Conv2DBackpropInput",
        &[&size, &kernel, input],
        &[
            ("strides", Attribute::Integers(&over_image(conv.strides))),
            ("padding", Attribute::Text(padding(conv.padding))),
        ],
    )?;
    finish(ops, output, conv.bias.as_ref(), conv.activation)
}

/// The output's size on an axis, as a vector of one.
fn output_size(
    ops: &mut Ops,
    conv: &ConvTranspose2d,
    input: &Output,
    (axis, size): (usize, Option<usize>),
) -> Result<Output, Fault> {
    if let Some(size) = size {
        let size = conv.output_size(axis, size).map_err(Fault)?;
        return ops.integers(&[1], &[to_i32(size)?]);
    }
    // The output grows by the stride per pixel of the input, from its size for one pixel.
    let stride = conv.strides[axis];
    let first = conv.output_size(axis, 1).map_err(Fault)?;
    let at = to_i32(axis + 1)?;
    let running = ops.dynamic_sizes(input, at, at + 1)?;
    let stride_of_each = ops.integers(&[1], &[to_i32(stride)?])?;
    let moved = ops.binary("Mul", &running, &stride_of_each)?;
    let more = ops.integers(&[1], &[to_i32(first)? - to_i32(stride)?])?;
    ops.binary("AddV2", &moved, &more)
}
