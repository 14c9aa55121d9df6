//! A convolution with what comes before and behind it as one operation, where TensorFlow has one.

use tensorflow::Output;

use super::{Window, image_kernel};
use crate::fusion::rectifier;
use crate::layers::{expect_last_axis, over_image, padding};
use crate::library::Convolutions;
use crate::ops::fused::{Fused, Kind, Zeros};
use crate::ops::{Fault, Ops};
use keras::Tensor;
use keras::layers::{Activation, Edges, Padding};

/// A convolution with all that an operation of its own can do.
pub(super) struct Whole<'a> {
    pub(super) kind: Kind,
    pub(super) kernel: &'a Tensor,
    pub(super) bias: Option<&'a Tensor>,
    pub(super) window: Window,
    pub(super) activation: Activation,
}

/// The convolution as one operation; nothing where there is none for it.
pub(super) fn fused(
    ops: &mut Ops,
    whole: &Whole<'_>,
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
    let rectifier = rectifier(function);
    let fits = (function == Activation::Linear || rectifier.is_some())
        && dilation == [1, 1]
        && (whole.kind == Kind::Full || strides[0] == strides[1])
        && whole.bias.is_none_or(|bias| bias.values.len() == outputs);
    let known = match ops.convolutions {
        Convolutions::Fused | Convolutions::FusedBfloat16 => true,
        Convolutions::Plain => false,
        // By channel, a GPU is slower in bfloat16 than in float32, and takes seconds to find out how to compute it.
        Convolutions::PlainBfloat16 => whole.kind == Kind::Full,
    };
    if !known || !fits {
        return Ok(None);
    }
    if let Some(addend) = addend {
        let (Some(result), [_, sizes @ ..]) = (result_sizes(ops, whole, input)?, &ops.sizes(addend)?[..])
        else {
            return Ok(None);
        };
        if *sizes != result.map(Some) {
            return Ok(None);
        }
    }
    let steps: Vec<&str> = ["BiasAdd"].into_iter().chain(addend.map(|_| "Add")).chain(rectifier).collect();
    let bias = whole.bias.map_or_else(|| vec![0.0; outputs], |bias| bias.values.to_vec());
    let around = if edges == Padding::Valid { ops.within_zeros(input) } else { None };
    let pretended = match around {
        Some((image, zeros)) => {
            pretended(ops, whole.kind, &image, [height, width], (strides, zeros))?.map(|zeros| (image, zeros))
        }
        None => None,
    };
    let (input, padding) = pretended.unwrap_or_else(|| (input.clone(), Zeros::Usual(padding(edges))));
    let operation = Fused {
        kind: whole.kind,
        kernel: whole.kernel,
        bias: &bias,
        addend,
        steps: &steps,
        strides: over_image(strides),
        padding,
    };
    ops.fused(&operation, &input).map(Some)
}

/// How an operation of this kind says by itself that there are zeros around its image, if it can.
fn pretended(
    ops: &Ops,
    kind: Kind,
    image: &Output,
    kernel: [usize; 2],
    (strides, zeros): ([usize; 2], Edges),
) -> Result<Option<Zeros>, Fault> {
    let [_, Some(height), Some(width), _] = ops.sizes(image)?[..] else { return Ok(None) };
    let usual = [0, 1].map(|axis| same_zeros([height, width][axis], kernel[axis], strides[axis]));
    if usual == [(zeros.top, zeros.bottom), (zeros.left, zeros.right)] {
        return Ok(Some(Zeros::Usual(padding(Padding::Same))));
    }
    Ok((kind == Kind::Full).then_some(Zeros::Exactly(zeros)))
}

/// How many zeros [`Padding::Same`] puts before and behind an axis.
fn same_zeros(size: usize, kernel: usize, stride: usize) -> (usize, usize) {
    let reach = (size.div_ceil(stride).saturating_sub(1)) * stride + kernel;
    let zeros = reach.saturating_sub(size);
    (zeros / 2, zeros - zeros / 2)
}

/// Height, width and channels of a convolution's result, where they are known.
fn result_sizes(ops: &Ops, whole: &Whole<'_>, input: &Output) -> Result<Option<[usize; 3]>, Fault> {
    let [_, Some(height), Some(width), _] = ops.sizes(input)?[..] else { return Ok(None) };
    let kernel = image_kernel(whole.kernel)?;
    let Window { strides, padding, .. } = whole.window;
    let moved = |size: usize, axis: usize| match padding {
        Padding::Same => Some(size.div_ceil(strides[axis])),
        Padding::Valid => Some(size.checked_sub(kernel[axis])? / strides[axis] + 1),
    };
    Ok(moved(height, 0).zip(moved(width, 1)).map(|(height, width)| [height, width, kernel[3]]))
}
