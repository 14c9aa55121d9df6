//! One file a family: each turns a layer of a Keras model into TensorFlow operations that compute the
//! same numbers.

mod activation;
mod arithmetic;
mod conv;
mod dense;
mod merge;
mod norm;
mod pool;
mod precision;
mod shape;
mod slicing;
mod transposed;
mod upsampling;
mod wrapping;

use tensorflow::Output;

use super::ops::{Fault, Ops};
use crate::keras::layers::{Layer, Padding};

/// Adds what `layer` computes from `inputs`.
pub(super) fn add(ops: &mut Ops, layer: &Layer, inputs: &[Output]) -> Result<Output, Fault> {
    let inputs = &precision::inputs(ops, layer, inputs)?;
    match layer {
        Layer::Input { shape } => ops.placeholder(shape),
        Layer::Identity => Ok(only(inputs)?.clone()),
        Layer::Conv2d(conv) => conv::conv2d(ops, conv, only(inputs)?),
        Layer::Conv2dAdd(conv) => conv::conv2d_add(ops, conv, inputs),
        Layer::DepthwiseConv2d(conv) => conv::depthwise_conv2d(ops, conv, only(inputs)?),
        Layer::SeparableConv2d(conv) => conv::separable_conv2d(ops, conv, only(inputs)?),
        Layer::ConvTranspose2d(conv) => transposed::conv_transpose2d(ops, conv, only(inputs)?),
        Layer::Chain(layers) => wrapping::chain(ops, layers, only(inputs)?),
        Layer::OverSteps(layer) => wrapping::over_steps(ops, layer, only(inputs)?),
        Layer::ChannelsFirst(layer) => wrapping::channels_first(ops, layer, only(inputs)?),
        Layer::Dense(dense) => dense::dense(ops, dense, only(inputs)?),
        Layer::BatchNorm(norm) => norm::batch_norm(ops, norm, only(inputs)?),
        Layer::LayerNorm(norm) => norm::layer_norm(ops, norm, only(inputs)?),
        Layer::Arithmetic(arithmetic) => arithmetic::arithmetic(ops, arithmetic, inputs),
        Layer::ScaledAdd { scale } => arithmetic::scaled_add(ops, *scale, inputs),
        Layer::Reduction(reduction) => arithmetic::reduction(ops, reduction, only(inputs)?),
        Layer::Slice { parts } => slicing::slice(ops, parts, only(inputs)?),
        Layer::Stack { axis } => slicing::stack(ops, *axis, inputs),
        Layer::Activation(function) => activation::activation(ops, *function, only(inputs)?),
        Layer::Prelu { alpha } => activation::prelu(ops, alpha, only(inputs)?),
        Layer::Pool2d(pooling) => pool::pool2d(ops, pooling, only(inputs)?),
        Layer::GlobalPool2d { kind, keep_dims } => pool::global_pool2d(ops, *kind, *keep_dims, only(inputs)?),
        Layer::ZeroPadding2d(edges) => ops.pad(only(inputs)?, *edges),
        Layer::Cropping2d(edges) => shape::cropping2d(ops, *edges, only(inputs)?),
        Layer::UpSampling2d { factors, interpolation } => {
            upsampling::upsampling2d(ops, *factors, *interpolation, only(inputs)?)
        }
        Layer::Flatten => shape::flatten(ops, only(inputs)?),
        Layer::Reshape { target } => shape::reshape(ops, target, only(inputs)?),
        Layer::Permute { axes } => shape::permute(ops, axes, only(inputs)?),
        Layer::Merge(kind) => merge::merge(ops, *kind, inputs),
        Layer::Concatenate { axis } => merge::concatenate(ops, *axis, inputs),
        Layer::Rescaling { scale, offset } => norm::rescaling(ops, scale, offset, only(inputs)?),
        Layer::Normalization { mean, variance } => norm::normalization(ops, mean, variance, only(inputs)?),
    }
}

fn only(inputs: &[Output]) -> Result<&Output, Fault> {
    match inputs {
        [input] => Ok(input),
        _ => Err(Fault(format!("it has {} inputs, expected 1", inputs.len()))),
    }
}

/// TensorFlow's word for a padding.
fn padding(padding: Padding) -> &'static str {
    match padding {
        Padding::Valid => "VALID",
        Padding::Same => "SAME",
    }
}

/// Vertical and horizontal numbers as attributes of operations over `[batch, height, width, channels]`.
fn over_image(pair: [usize; 2]) -> [i64; 4] {
    [1, pair[0] as i64, pair[1] as i64, 1]
}

/// Fails unless the last axis of `input` has `expected` elements, as far as that is known.
fn expect_last_axis(ops: &Ops, input: &Output, expected: usize) -> Result<(), Fault> {
    match ops.sizes(input)?.last() {
        Some(Some(size)) if *size != expected => {
            Err(Fault(format!("its input has {size} channels, its weights expect {expected}")))
        }
        Some(_) => Ok(()),
        None => Err(Fault("its input has no axes".to_owned())),
    }
}
