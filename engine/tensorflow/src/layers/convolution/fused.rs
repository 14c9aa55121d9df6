//! A convolution fused with its padding, bias, sum and activation, where TensorFlow has an operation for that.

use tensorflow::Output;

use super::{Window, image_kernel};
use crate::fusion::fusible_relu;
use crate::layers::{expect_last_axis, over_image, padding};
use crate::library::Convolutions;
use crate::ops::fused::{Fused, Kind, PaddingAttribute};
use crate::ops::{Fault, Ops};
use keras::Tensor;
use keras::layers::{Activation, Edges, Padding};

/// A convolution with its bias and activation.
pub(super) struct WholeConv<'a> {
    pub(super) kind: Kind,
    pub(super) kernel: &'a Tensor,
    pub(super) bias: Option<&'a Tensor>,
    pub(super) window: Window,
    pub(super) activation: Activation,
}

/// Adds the convolution as one fused operation. Returns `None` where TensorFlow has none for it.
pub(super) fn fused(
    ops: &mut Ops,
    whole: &WholeConv<'_>,
    input: &Output,
    addend: Option<&Output>,
) -> Result<Option<Output>, Fault> {
    let [height, width, channels, outputs] = image_kernel(whole.kernel)?;
    expect_last_axis(ops, input, channels)?;
    let Window { strides, dilation, padding: edges } = whole.window;
    let function = whole.activation;
    let outputs = match whole.kind {
        Kind::Full => outputs,
        Kind::Depthwise => channels * outputs,
    };
    let relu = fusible_relu(function);
    let fits = (function == Activation::Linear || relu.is_some())
        && dilation == [1, 1]
        && (whole.kind == Kind::Full || strides[0] == strides[1])
        && whole.bias.is_none_or(|bias| bias.values.len() == outputs);
    let known = match ops.convolutions {
        Convolutions::Fused | Convolutions::FusedBfloat16 => true,
        Convolutions::Plain => false,
        // A depthwise convolution is slower in bfloat16 than in float32 on a GPU, and cuDNN takes seconds to choose its
        // algorithm.
        Convolutions::PlainBfloat16 => whole.kind == Kind::Full,
    };
    if !known || !fits {
        return Ok(None);
    }
    if let Some(addend) = addend {
        let (Some(result), [_, sizes @ ..]) = (output_sizes(ops, whole, input)?, &ops.sizes(addend)?[..])
        else {
            return Ok(None);
        };
        if *sizes != result.map(Some) {
            return Ok(None);
        }
    }
    let fused_ops: Vec<&str> = ["BiasAdd"].into_iter().chain(addend.map(|_| "Add")).chain(relu).collect();
    let bias = whole.bias.map_or_else(|| vec![0.0; outputs], |bias| bias.values.to_vec());
    let around = if edges == Padding::Valid { ops.within_zeros(input) } else { None };
    let as_attribute = match around {
        Some((image, zeros)) => as_attribute(ops, whole.kind, &image, [height, width], (strides, zeros))?
            .map(|zeros| (image, zeros)),
        None => None,
    };
    let (input, padding) =
        as_attribute.unwrap_or_else(|| (input.clone(), PaddingAttribute::Named(padding(edges))));
    let operation = Fused {
        kind: whole.kind,
        kernel: whole.kernel,
        bias: &bias,
        addend,
        fused_ops: &fused_ops,
        strides: over_image(strides),
        padding,
    };
    ops.fused(&operation, &input).map(Some)
}

/// The padding attribute that stands for zeros around the image, if the operation has one for them.
fn as_attribute(
    ops: &Ops,
    kind: Kind,
    image: &Output,
    kernel: [usize; 2],
    (strides, zeros): ([usize; 2], Edges),
) -> Result<Option<PaddingAttribute>, Fault> {
    let [_, Some(height), Some(width), _] = ops.sizes(image)?[..] else { return Ok(None) };
    let usual = [0, 1].map(|axis| same_zeros([height, width][axis], kernel[axis], strides[axis]));
    if usual == [(zeros.top, zeros.bottom), (zeros.left, zeros.right)] {
        return Ok(Some(PaddingAttribute::Named(padding(Padding::Same))));
    }
    Ok((kind == Kind::Full).then_some(PaddingAttribute::Explicit(zeros)))
}

/// How many zeros [`Padding::Same`] adds before and after an axis.
fn same_zeros(size: usize, kernel: usize, stride: usize) -> (usize, usize) {
    let reach = (size.div_ceil(stride).saturating_sub(1)) * stride + kernel;
    let zeros = reach.saturating_sub(size);
    (zeros / 2, zeros - zeros / 2)
}

/// Height, width and channels of the convolution's output, where they are known.
fn output_sizes(ops: &Ops, whole: &WholeConv<'_>, input: &Output) -> Result<Option<[usize; 3]>, Fault> {
    let [_, Some(height), Some(width), _] = ops.sizes(input)?[..] else { return Ok(None) };
    let kernel = image_kernel(whole.kernel)?;
    let Window { strides, padding, .. } = whole.window;
    let moved = |size: usize, axis: usize| match padding {
        Padding::Same => Some(size.div_ceil(strides[axis])),
        Padding::Valid => Some(size.checked_sub(kernel[axis])? / strides[axis] + 1),
    };
    Ok(moved(height, 0).zip(moved(width, 1)).map(|(height, width)| [height, width, kernel[3]]))
}
