//! Convolutions.

mod fused;

use std::sync::Arc;

use tensorflow::{DataType, Output};

use self::fused::{WholeConv, fused};
use super::activation::activation;
use super::{expect_last_axis, merging, over_image, padding};
use crate::ops::fused::Kind;
use crate::ops::{Attribute, Fault, Ops};
use keras::Tensor;
use keras::layers::{Activation, Conv2d, DepthwiseConv2d, MergeKind, Padding, SeparableConv2d};

pub(super) fn conv2d(ops: &mut Ops, conv: &Conv2d, input: &Output) -> Result<Output, Fault> {
    let [height, width, channels, outputs] = image_kernel(&conv.kernel)?;
    expect_last_axis(ops, input, channels * conv.groups)?;
    if conv.groups > 1 && channels == 1 && outputs % conv.groups == 0 {
        // One convolution in place of hundreds of small ones. The kernel's values are in the same order.
        let shape = vec![height, width, conv.groups, outputs / conv.groups];
        return depthwise_conv2d(ops, &as_depthwise(conv, shape), input);
    }
    let window = Window { strides: conv.strides, dilation: conv.dilation, padding: conv.padding };
    if conv.groups == 1
        && let Some(output) = fused(ops, &whole_conv(conv), input, None)?
    {
        return Ok(output);
    }
    let input = ops.cast(input, DataType::Float)?;
    let output = grouped(ops, &input, &conv.kernel, conv.groups, window)?;
    finish(ops, output, conv.bias.as_ref(), conv.activation)
}

/// Converts a convolution with one group per channel, as in ConvNeXt, to a depthwise one.
fn as_depthwise(conv: &Conv2d, shape: Vec<usize>) -> DepthwiseConv2d {
    let Conv2d { kernel, bias, strides, dilation, padding, activation, .. } = conv.clone();
    let kernel = Tensor { shape, values: kernel.values };
    DepthwiseConv2d { kernel, bias, strides, dilation, padding, activation }
}

/// Adds the second input to the convolution of the first, then applies the activation.
pub(super) fn conv2d_add(ops: &mut Ops, conv: &Conv2d, inputs: &[Output]) -> Result<Output, Fault> {
    let [input, addend] = inputs else {
        return Err(Fault(format!("it has {} inputs, expected 2", inputs.len())));
    };
    if conv.groups == 1
        && let Some(output) = fused(ops, &whole_conv(conv), input, Some(addend))?
    {
        return Ok(output);
    }
    let convolved = conv2d(ops, &Conv2d { activation: Activation::Linear, ..conv.clone() }, input)?;
    let convolved = ops.cast(&convolved, DataType::Float)?;
    let addend = ops.cast(addend, DataType::Float)?;
    let sum = merging::merge(ops, MergeKind::Add, &[convolved, addend])?;
    activation(ops, conv.activation, &sum)
}

fn whole_conv(conv: &Conv2d) -> WholeConv<'_> {
    let window = Window { strides: conv.strides, dilation: conv.dilation, padding: conv.padding };
    let (kernel, bias) = (&conv.kernel, conv.bias.as_ref());
    WholeConv { kind: Kind::Full, kernel, bias, window, activation: conv.activation }
}

pub(super) fn depthwise_conv2d(
    ops: &mut Ops,
    conv: &DepthwiseConv2d,
    input: &Output,
) -> Result<Output, Fault> {
    let window = Window { strides: conv.strides, dilation: conv.dilation, padding: conv.padding };
    let (kernel, bias) = (&conv.kernel, conv.bias.as_ref());
    let whole = WholeConv { kind: Kind::Depthwise, kernel, bias, window, activation: conv.activation };
    if let Some(output) = fused(ops, &whole, input, None)? {
        return Ok(output);
    }
    let input = ops.cast(input, DataType::Float)?;
    let output = depthwise(ops, &input, &conv.kernel, window)?;
    finish(ops, output, conv.bias.as_ref(), conv.activation)
}

pub(super) fn separable_conv2d(
    ops: &mut Ops,
    conv: &SeparableConv2d,
    input: &Output,
) -> Result<Output, Fault> {
    let window = Window { strides: conv.strides, dilation: conv.dilation, padding: conv.padding };
    let spread = depthwise(ops, input, &conv.depthwise, window)?;
    let pointwise = ops.weights(&conv.pointwise)?;
    let pointwise_window = Window { strides: [1, 1], dilation: [1, 1], padding: Padding::Valid };
    let output = convolve(ops, &spread, &pointwise, pointwise_window)?;
    finish(ops, output, conv.bias.as_ref(), conv.activation)
}

/// How a kernel moves over an image.
#[derive(Clone, Copy)]
struct Window {
    strides: [usize; 2],
    dilation: [usize; 2],
    padding: Padding,
}

/// Adds a convolution for each group of channels. TensorFlow's operation supports groups, but its optimizer fuses it
/// into an operation that does not, and then the run fails.
fn grouped(
    ops: &mut Ops,
    input: &Output,
    kernel: &Tensor,
    groups: usize,
    window: Window,
) -> Result<Output, Fault> {
    if groups == 1 {
        let kernel = ops.weights(kernel)?;
        return convolve(ops, input, &kernel, window);
    }
    let [height, width, channels, outputs] = image_kernel(kernel)?;
    let each = outputs / groups;
    if each * groups != outputs {
        return Err(Fault(format!("its {outputs} outputs cannot be divided among {groups} groups")));
    }
    let parts = ops.split_channels(input, groups)?;
    let mut results = Vec::with_capacity(groups);
    for (group, part) in parts.iter().enumerate() {
        let own = kernel.values.chunks(outputs).flat_map(|row| &row[group * each..(group + 1) * each]);
        let own: Vec<f32> = own.copied().collect();
        let kernel = ops.constant(&[height, width, channels, each], &own)?;
        results.push(convolve(ops, part, &kernel, window)?);
    }
    ops.concatenate(&results, 3)
}

/// Convolves with a kernel `[height, width, channels in, channels out]`.
fn convolve(ops: &mut Ops, input: &Output, kernel: &Output, window: Window) -> Result<Output, Fault> {
    ops.op(
        "Conv2D",
        &[input, kernel],
        &[
            ("strides", Attribute::Integers(&over_image(window.strides))),
            ("dilations", Attribute::Integers(&over_image(window.dilation))),
            ("padding", Attribute::Text(padding(window.padding))),
        ],
    )
}

fn depthwise(ops: &mut Ops, input: &Output, kernel: &Tensor, window: Window) -> Result<Output, Fault> {
    let [_, _, channels, _] = image_kernel(kernel)?;
    expect_last_axis(ops, input, channels)?;
    let spread = dilate(kernel, window.dilation)?;
    if window.strides[0] == window.strides[1] {
        let kernel = ops.weights(&spread)?;
        return ops.op(
            "DepthwiseConv2dNative",
            &[input, &kernel],
            &[
                ("strides", Attribute::Integers(&over_image(window.strides))),
                ("padding", Attribute::Text(padding(window.padding))),
            ],
        );
    }
    // The native operation has one stride for both axes. A convolution with one group per channel has two, and its kernel
    // has the same values in the same order.
    let [height, width, channels, multiplier] = image_kernel(&spread)?;
    let kernel = Tensor { shape: vec![height, width, 1, channels * multiplier], values: spread.values };
    grouped(ops, input, &kernel, channels, Window { dilation: [1, 1], ..window })
}

/// Dilates a kernel: puts zeros between its rows and columns. TensorFlow's depthwise convolution on a CPU ignores the
/// attribute. The values are the same, also at the edges.
pub(super) fn dilate(kernel: &Tensor, dilation: [usize; 2]) -> Result<Tensor, Fault> {
    if dilation == [1, 1] {
        return Ok(kernel.clone());
    }
    let [height, width, channels, multiplier] = image_kernel(kernel)?;
    let spread = |size: usize, by: usize| size.saturating_sub(1) * by + 1;
    let (tall, wide) = (spread(height, dilation[0]), spread(width, dilation[1]));
    let pixel = channels * multiplier;
    let mut values = vec![0.0; tall * wide * pixel];
    for row in 0..height {
        for column in 0..width {
            let from = (row * width + column) * pixel;
            let to = (row * dilation[0] * wide + column * dilation[1]) * pixel;
            values[to..to + pixel].copy_from_slice(&kernel.values[from..from + pixel]);
        }
    }
    Ok(Tensor { shape: vec![tall, wide, channels, multiplier], values: Arc::from(values) })
}

/// Adds the bias and the activation of a layer.
pub(super) fn finish(
    ops: &mut Ops,
    output: Output,
    bias: Option<&Tensor>,
    function: Activation,
) -> Result<Output, Fault> {
    let output = match bias {
        Some(bias) => {
            let bias = ops.weights(bias)?;
            ops.binary("BiasAdd", &output, &bias)?
        }
        None => output,
    };
    activation(ops, function, &output)
}

pub(super) fn image_kernel(kernel: &Tensor) -> Result<[usize; 4], Fault> {
    <[usize; 4]>::try_from(kernel.shape.as_slice())
        .map_err(|_| Fault(format!("its kernel has shape {:?}, expected 4 axes", kernel.shape)))
}
