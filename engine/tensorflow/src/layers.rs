//! One file per family of layers. Each adds the TensorFlow operations that compute what a layer of a Keras model
//! computes.

mod activation;
mod arithmetic;
mod attention;
mod contrast;
mod conv_transpose;
mod convolution;
mod cropping;
mod dense;
mod elementwise;
mod locally_connected;
mod merging;
mod normalization;
mod pooling;
mod precision;
mod products;
mod rearranging;
mod reshaping;
mod resizing;
mod scaling;
mod slicing;
mod wrapping;

use tensorflow::Output;

use super::ops::{Fault, Ops, to_i32};
use keras::layers::{Layer, Padding};

/// Adds what `layer` computes from `inputs`.
pub(super) fn add(ops: &mut Ops, layer: &Layer, inputs: &[Output]) -> Result<Output, Fault> {
    let inputs = &precision::inputs(ops, layer, inputs)?;
    match layer {
        Layer::Input { shape } => ops.image(shape),
        Layer::Identity => Ok(only(inputs)?.clone()),
        Layer::Conv2d(conv) => convolution::conv2d(ops, conv, only(inputs)?),
        Layer::Conv2dAdd(conv) => convolution::conv2d_add(ops, conv, inputs),
        Layer::DepthwiseConv2d(conv) => convolution::depthwise_conv2d(ops, conv, only(inputs)?),
        Layer::SeparableConv2d(conv) => convolution::separable_conv2d(ops, conv, only(inputs)?),
        Layer::ConvTranspose2d(conv) => conv_transpose::conv_transpose2d(ops, conv, only(inputs)?),
        Layer::Sequential(layers) => wrapping::sequential(ops, layers, only(inputs)?),
        Layer::MultiOutput(_) => Err(Fault("it has several outputs, expected one".to_owned())),
        Layer::TimeDistributed(layer) => wrapping::time_distributed(ops, layer, only(inputs)?),
        Layer::Constant(tensor) => ops.weights(tensor),
        Layer::MultiHeadAttention(layer) => attention::multi_head_attention(ops, layer, inputs),
        Layer::DotProductAttention(layer) => attention::dot_product_attention(ops, layer, inputs),
        Layer::Attention(layer) => attention::attention(ops, layer, inputs),
        Layer::Einsum(einsum) => products::einsum(ops, einsum, inputs),
        Layer::MatrixProduct(product) => products::matrix_product(ops, product, inputs),
        Layer::Function(function) => elementwise::function(ops, *function, only(inputs)?),
        Layer::Comparison(comparison) => elementwise::comparison(ops, comparison, inputs),
        Layer::Select(select) => elementwise::select(ops, select, inputs),
        Layer::FullLike { value } => elementwise::full_like(ops, *value, only(inputs)?),
        Layer::Gather(gather) => rearranging::gather(ops, gather, only(inputs)?),
        Layer::Pad(pad) => rearranging::pad(ops, pad, only(inputs)?),
        Layer::Patches(patches) => rearranging::patches(ops, patches, only(inputs)?),
        Layer::SpaceToDepth { block_size } => rearranging::space_to_depth(ops, *block_size, only(inputs)?),
        Layer::DepthToSpace { block_size } => rearranging::depth_to_space(ops, *block_size, only(inputs)?),
        Layer::OverSequence(layer) => wrapping::over_sequence(ops, layer, only(inputs)?),
        Layer::ChannelsFirst(layer) => wrapping::channels_first(ops, layer, only(inputs)?),
        Layer::Dense(dense) => dense::dense(ops, dense, only(inputs)?),
        Layer::BatchNorm(norm) => normalization::batch_norm(ops, norm, only(inputs)?),
        Layer::LayerNorm(norm) => normalization::layer::layer_norm(ops, norm, only(inputs)?),
        Layer::Arithmetic(arithmetic) => arithmetic::arithmetic(ops, arithmetic, inputs),
        Layer::ScaledAdd { scale } => scaling::scaled_add(ops, *scale, inputs),
        Layer::Reduction(reduction) => arithmetic::reduction(ops, reduction, only(inputs)?),
        Layer::Slice { parts } => slicing::slice(ops, parts, only(inputs)?),
        Layer::Stack { axis } => slicing::stack(ops, *axis, inputs),
        Layer::Activation(function) => activation::activation(ops, *function, only(inputs)?),
        Layer::Prelu { alpha } => activation::prelu(ops, alpha, only(inputs)?),
        Layer::Pool2d(pooling) => pooling::pool2d(ops, pooling, only(inputs)?),
        Layer::GlobalPool2d { kind, keep_dims } => {
            pooling::global_pool2d(ops, *kind, *keep_dims, only(inputs)?)
        }
        Layer::ZeroPadding2d(edges) => ops.pad(only(inputs)?, *edges),
        Layer::Cropping2d(edges) => cropping::cropping2d(ops, *edges, only(inputs)?),
        Layer::UpSampling2d { factors, interpolation } => {
            resizing::upsampling2d(ops, *factors, *interpolation, only(inputs)?)
        }
        Layer::Flatten => reshaping::flatten(ops, only(inputs)?),
        Layer::Reshape { target } => reshaping::reshape(ops, target, only(inputs)?),
        Layer::Permute { axes } => reshaping::permute(ops, axes, only(inputs)?),
        Layer::Merge(kind) => merging::merge(ops, *kind, inputs),
        Layer::Concatenate { axis } => merging::concatenate(ops, *axis, inputs),
        Layer::Rescaling { scale, offset } => scaling::rescaling(ops, scale, offset, only(inputs)?),
        Layer::Normalization { mean, variance } => {
            normalization::normalization(ops, mean, variance, only(inputs)?)
        }
        Layer::Denormalization { mean, variance } => {
            normalization::denormalization(ops, mean, variance, only(inputs)?)
        }
        Layer::GroupNorm(group) => normalization::group::group_norm(ops, group, only(inputs)?),
        Layer::UnitNorm(unit) => normalization::layer::unit_norm(ops, unit, only(inputs)?),
        Layer::SoftmaxOver { axes } => activation::softmax_over(ops, axes, only(inputs)?),
        Layer::AdaptivePool2d(pooling) => pooling::adaptive::adaptive_pool2d(ops, pooling, only(inputs)?),
        Layer::Resize(by) => resizing::resize(ops, by, only(inputs)?),
        Layer::CenterCrop { size } => resizing::center_crop(ops, *size, only(inputs)?),
        Layer::AutoContrast { range } => contrast::auto_contrast(ops, *range, only(inputs)?),
        Layer::Dot(by) => merging::dot::dot(ops, by, inputs),
        Layer::LocallyConnected2d(layer) => locally_connected::locally_connected2d(ops, layer, only(inputs)?),
    }
}

fn only(inputs: &[Output]) -> Result<&Output, Fault> {
    match inputs {
        [input] => Ok(input),
        _ => Err(Fault(format!("it has {} inputs, expected 1", inputs.len()))),
    }
}

/// TensorFlow's name of a padding.
fn padding(padding: Padding) -> &'static str {
    match padding {
        Padding::Valid => "VALID",
        Padding::Same => "SAME",
    }
}

/// Numbers for height and width as an attribute of operations over `[batch, height, width, channels]`.
fn over_image(pair: [usize; 2]) -> [i64; 4] {
    [1, pair[0] as i64, pair[1] as i64, 1]
}

/// Converts axes counted from 0 after the batch to a constant that counts the batch.
fn axes_with_batch(ops: &mut Ops, axes: &[usize]) -> Result<Output, Fault> {
    let axes = axes.iter().map(|axis| to_i32(axis + 1)).collect::<Result<Vec<i32>, _>>()?;
    ops.integers(&[axes.len()], &axes)
}

/// Height and width, for a layer that needs both before a run.
fn fixed_image(ops: &Ops, input: &Output) -> Result<[usize; 2], Fault> {
    match ops.sizes(input)?[..] {
        [_, Some(height), Some(width), _] => Ok([height, width]),
        [_, _, _, _] => Err(Fault("its input has no fixed height and width, which it needs".to_owned())),
        ref sizes => Err(Fault(format!("its input has {} axes, expected 4", sizes.len()))),
    }
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
