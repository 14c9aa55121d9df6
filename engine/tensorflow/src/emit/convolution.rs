//! Convolutions.

use std::sync::Arc;

use tensorflow::{DataType, Output};

use super::windows::{over_image, padded, padding};
use super::{Operand, image};
use crate::library::Convolutions;
use crate::ops::fused::{Fused, Kind, PaddingAttribute};
use crate::ops::tiles::Geometry;
use crate::ops::{Attribute, Fault, Ops};
use crate::plan::Relu;
use crate::trial::is_quicker;
use crate::winograd::{Tile, Winograd};
use model::{Convolution, Tensor, Window};

/// What follows a convolution.
pub(super) struct After {
    /// What is added to its result, of the same shape.
    pub(super) addend: Option<Output>,
    pub(super) relu: Option<Relu>,
}

/// Adds a convolution and what follows it, as one operation where TensorFlow has one.
pub(super) fn convolution(
    ops: &mut Ops,
    by: &Convolution,
    input: &Operand<'_>,
    after: &After,
) -> Result<Output, Fault> {
    if by.is_depthwise() {
        let depthwise = &as_depthwise(by)?;
        if fuses(ops, Kind::Depthwise, depthwise) {
            return fused(ops, Kind::Depthwise, depthwise, input, after);
        }
        let input = &in_float32(ops, input)?;
        let output = depthwise_alone(ops, depthwise, input)?;
        return follow(ops, output, by, after);
    }
    if by.groups == 1 && fuses(ops, Kind::Full, by) {
        return fused(ops, Kind::Full, by, input, after);
    }
    let input = &in_float32(ops, input)?;
    let output = grouped(ops, by, input)?;
    follow(ops, output, by, after)
}

/// The same convolution with its kernel as `[height, width, channels in, channels out / channels in]`.
fn as_depthwise(by: &Convolution) -> Result<Convolution, Fault> {
    let [height, width, _, outputs] = image_kernel(&by.kernel)?;
    let kernel = by.kernel.reshaped(&[height, width, by.groups, outputs / by.groups.max(1)]);
    Ok(Convolution { kernel, ..by.clone() })
}

fn in_float32<'a>(ops: &mut Ops, input: &Operand<'a>) -> Result<Operand<'a>, Fault> {
    Ok(Operand { output: ops.cast(&input.output, DataType::Float)?, shape: input.shape })
}

/// Returns whether TensorFlow has a fused operation for the convolution.
fn fuses(ops: &Ops, kind: Kind, by: &Convolution) -> bool {
    let known = match ops.convolutions {
        Convolutions::Fused | Convolutions::FusedBfloat16 => true,
        Convolutions::Plain => false,
        // A depthwise convolution is slower in bfloat16 than in float32 on a GPU, and cuDNN takes seconds to choose its
        // algorithm.
        Convolutions::PlainBfloat16 => kind == Kind::Full,
    };
    let [vertical, horizontal] = by.windows;
    let fits = kind == Kind::Full || vertical.stride == horizontal.stride;
    known && fits && by.windows.iter().all(|window| window.dilation == 1)
}

fn fused(
    ops: &mut Ops,
    kind: Kind,
    by: &Convolution,
    input: &Operand<'_>,
    after: &After,
) -> Result<Output, Fault> {
    let [height, width, _] = image(input.shape)?;
    let mut output = input.output.clone();
    let mut padding = padding(&by.windows, [height, width]);
    if kind == Kind::Depthwise && matches!(padding, PaddingAttribute::Explicit(_)) {
        let (padded, word) = padded(ops, &by.windows, input, 0.0)?;
        (output, padding) = (padded, PaddingAttribute::Named(word));
    }
    let outputs = match kind {
        Kind::Full => by.kernel.shape[3],
        Kind::Depthwise => by.kernel.shape[2] * by.kernel.shape[3],
    };
    let bias = by.bias.as_ref().map_or_else(|| vec![0.0; outputs], |bias| bias.values.to_vec());
    let addend = after.addend.as_ref();
    let relu = after.relu.map(Relu::kind);
    let fused_ops: Vec<&str> = ["BiasAdd"].into_iter().chain(addend.map(|_| "Add")).chain(relu).collect();
    let strides = over_image(by.windows.map(|window| window.stride));
    let (kernel, fused_ops) = (&by.kernel, &fused_ops);
    let operation = Fused { kind, kernel, bias: &bias, addend, fused_ops, strides, padding };
    match tiles(ops, &operation, [height, width]) {
        Some(tiles) => ops.fused_in_tiles(&operation, tiles, &output),
        None => ops.fused(&operation, &output),
    }
}

/// The tiles to compute the convolution in, if that is quicker.
fn tiles(ops: &Ops, fused: &Fused<'_>, image: [usize; 2]) -> Option<(Tile, Geometry)> {
    if ops.convolutions != Convolutions::Fused {
        return None;
    }
    let geometry = Geometry::of(fused, image)?;
    let tile = match ops.library.winograd {
        Winograd::Never => None,
        Winograd::Always(tile) => Some(tile),
        Winograd::WhereQuicker => {
            geometry.promising().filter(|tile| is_quicker(&ops.library, fused, (*tile, geometry)))
        }
    };
    Some((tile?, geometry))
}

/// Adds a convolution for each group of channels. TensorFlow's operation supports groups, but its optimizer fuses it
/// into an operation that does not, and then the run fails.
fn grouped(ops: &mut Ops, by: &Convolution, input: &Operand<'_>) -> Result<Output, Fault> {
    let [height, width, _] = image(input.shape)?;
    let padding = padding(&by.windows, [height, width]);
    if by.groups == 1 {
        let kernel = ops.weights(&by.kernel)?;
        return convolve(ops, (&input.output, &kernel), &by.windows, padding);
    }
    let [height, width, channels, outputs] = image_kernel(&by.kernel)?;
    let each = outputs / by.groups;
    let parts = ops.split(&input.output, 3, by.groups)?;
    let mut results = Vec::with_capacity(by.groups);
    for (group, part) in parts.iter().enumerate() {
        let own = by.kernel.values.chunks(outputs).flat_map(|row| &row[group * each..(group + 1) * each]);
        let own: Vec<f32> = own.copied().collect();
        let kernel = ops.constant(&[height, width, channels, each], &own)?;
        results.push(convolve(ops, (part, &kernel), &by.windows, padding)?);
    }
    ops.concatenate(&results, 3)
}

/// Convolves an image with a kernel `[height, width, channels in, channels out]`.
fn convolve(
    ops: &mut Ops,
    (input, kernel): (&Output, &Output),
    windows: &[Window; 2],
    padding: PaddingAttribute,
) -> Result<Output, Fault> {
    let strides = over_image(windows.map(|window| window.stride));
    let dilations = over_image(windows.map(|window| window.dilation));
    let (padding, edges) = padding.attributes();
    let mut attributes = vec![
        ("strides", Attribute::Integers(&strides)),
        ("dilations", Attribute::Integers(&dilations)),
        ("padding", Attribute::Text(padding)),
    ];
    attributes.extend(edges.as_ref().map(|edges| ("explicit_paddings", Attribute::Integers(edges))));
    ops.op("Conv2D", &[input, kernel], &attributes)
}

/// Adds a depthwise convolution that is not fused.
fn depthwise_alone(ops: &mut Ops, by: &Convolution, input: &Operand<'_>) -> Result<Output, Fault> {
    let spread = dilate(&by.kernel, by.windows.map(|window| window.dilation))?;
    let windows = by.windows.map(spread_window);
    let [vertical, horizontal] = windows;
    if vertical.stride == horizontal.stride {
        let (input, word) = padded(ops, &windows, input, 0.0)?;
        let kernel = ops.weights(&spread)?;
        let strides = over_image(windows.map(|window| window.stride));
        let attributes = [("strides", Attribute::Integers(&strides)), ("padding", Attribute::Text(word))];
        return ops.op("DepthwiseConv2dNative", &[&input, &kernel], &attributes);
    }
    // The native operation has one stride for both axes. A convolution with one group per channel has two, and its kernel
    // has the same values in the same order.
    let [height, width, channels, multiplier] = image_kernel(&spread)?;
    let kernel = spread.reshaped(&[height, width, 1, channels * multiplier]);
    grouped(ops, &Convolution { kernel, windows, ..by.clone() }, input)
}

/// The window of a kernel that was dilated.
pub(super) fn spread_window(window: Window) -> Window {
    Window { size: window.reach(), dilation: 1, ..window }
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

/// Adds what follows a convolution that is not fused.
fn follow(ops: &mut Ops, output: Output, by: &Convolution, after: &After) -> Result<Output, Fault> {
    let mut output = biased(ops, output, by.bias.as_ref())?;
    if let Some(addend) = &after.addend {
        let addend = ops.cast(addend, DataType::Float)?;
        output = ops.binary("AddV2", &output, &addend)?;
    }
    match after.relu {
        Some(relu) => ops.unary(relu.kind(), &output),
        None => Ok(output),
    }
}

/// Adds the bias of a convolution.
pub(super) fn biased(ops: &mut Ops, output: Output, bias: Option<&Tensor>) -> Result<Output, Fault> {
    match bias {
        Some(bias) => {
            let bias = ops.weights(bias)?;
            ops.binary("BiasAdd", &output, &bias)
        }
        None => Ok(output),
    }
}

fn image_kernel(kernel: &Tensor) -> Result<[usize; 4], Fault> {
    <[usize; 4]>::try_from(kernel.shape.as_slice())
        .map_err(|_| Fault(format!("its kernel has shape {:?}, expected 4 axes", kernel.shape)))
}
