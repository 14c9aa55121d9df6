//! Transposed convolutions.

use tensorflow::Output;

use super::convolution::{biased, dilate, spread_window};
use super::windows::{over_image, padding};
use super::{Operand, image};
use crate::ops::{Attribute, Fault, Ops, to_i32};
use model::{ConvolutionTranspose, Shape};

/// Adds TensorFlow's operation for the gradient of a convolution. It takes the size of its output. On a CPU it does not
/// support dilation, so the kernel is dilated with zeros.
pub(super) fn convolution_transpose(
    ops: &mut Ops,
    by: &ConvolutionTranspose,
    input: &Operand<'_>,
    shape: &Shape,
) -> Result<Output, Fault> {
    let [height, width, channels] = image(shape)?;
    let batch = ops.batch_of(&input.output)?;
    let sizes = ops.integers(&[3], &[to_i32(height)?, to_i32(width)?, to_i32(channels)?])?;
    let size = ops.concatenate(&[batch, sizes], 0)?;
    let kernel = ops.weights(&dilate(&by.kernel, by.windows.map(|window| window.dilation))?)?;
    let windows = by.windows.map(spread_window);
    let strides = over_image(windows.map(|window| window.stride));
    let (padding, edges) = padding(&windows, [height, width]).attributes();
    let mut attributes =
        vec![("strides", Attribute::Integers(&strides)), ("padding", Attribute::Text(padding))];
    attributes.extend(edges.as_ref().map(|edges| ("explicit_paddings", Attribute::Integers(edges))));
    let output = ops.op("Conv2DBackpropInput", &[&size, &kernel, &input.output], &attributes)?;
    biased(ops, output, by.bias.as_ref())
}
