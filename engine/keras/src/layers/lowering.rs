//! Lowers a layer to primitives. The shape of a layer's output is that of the value it gives.

use std::fmt;
use std::sync::Arc;

use model::{Builder, Fault, Shape, Size, Value};

use super::{
    Layer, activation, contrast, cropping, merging, normalization, pooling, reshaping, resizing, scaling,
    slicing, wrapping,
};
use crate::shapes::{self, Sizes};

/// A layer that is lowered by its own file alone. Whoever adds one need not add a variant of [`Layer`].
pub trait Lower: fmt::Debug + Send + Sync {
    /// Adds what the layer computes from its inputs, and returns its output.
    ///
    /// # Errors
    /// The layer cannot take these inputs; says why.
    fn lower(&self, builder: &mut Builder, inputs: &[Value]) -> Result<Value, Fault>;
}

impl Layer {
    /// A layer of its own kind.
    pub(super) fn own(layer: impl Lower + 'static) -> Self {
        Self::Own(Arc::new(layer))
    }

    /// Adds what the layer computes from its inputs, and returns its output.
    ///
    /// # Errors
    /// The layer cannot take these inputs; says why.
    pub fn lower(&self, builder: &mut Builder, inputs: &[Value]) -> Result<Value, Fault> {
        if !have_equal_rows(builder, inputs) {
            return Err("it joins values of which a reshape folded some into the batch, expected all or none of them \
                        there"
                .into());
        }
        match self {
            Self::Input { shape } => builder.input(Shape::batched(shape.iter().copied())),
            Self::Constant(tensor) => builder.constant(tensor),
            Self::Identity => only(inputs),
            Self::MultiOutput(_) => Err("it has several outputs, expected one".into()),

            Self::Sequential(layers) => wrapping::sequential(layers, builder, only(inputs)?),
            Self::OverSequence(layer) => wrapping::over_sequence(layer, builder, only(inputs)?),
            Self::ChannelsFirst(layer) => wrapping::channels_first(layer, builder, only(inputs)?),
            Self::TimeDistributed(layer) => wrapping::by_position(layer, builder, only(inputs)?),

            Self::Conv2d(conv) => conv.lower(builder, only(inputs)?),
            Self::DepthwiseConv2d(conv) => conv.lower(builder, only(inputs)?),
            Self::SeparableConv2d(conv) => conv.lower(builder, only(inputs)?),
            Self::ConvTranspose2d(conv) => conv.lower(builder, only(inputs)?),
            Self::LocallyConnected2d(layer) => layer.lower(builder, only(inputs)?),
            Self::Dense(dense) => dense.lower(builder, only(inputs)?),

            Self::Activation(function) => function.lower(builder, only(inputs)?),
            Self::Prelu { alpha } => activation::prelu_of(alpha, builder, only(inputs)?),
            Self::SoftmaxOver { axes } => activation::softmax_over(axes, builder, only(inputs)?),

            Self::Pool2d(pool) => pool.lower(builder, only(inputs)?),
            Self::GlobalPool2d { kind, keep_dims } => {
                pooling::of_whole_image(*kind, *keep_dims, builder, only(inputs)?)
            }
            Self::AdaptivePool2d(pool) => pool.lower(builder, only(inputs)?),

            Self::ZeroPadding2d(edges) => cropping::padded(*edges, 0.0, builder, only(inputs)?),
            Self::Cropping2d(edges) => cropping::cropped(*edges, builder, only(inputs)?),
            Self::UpSampling2d { factors, interpolation } => {
                resizing::upsampled(*factors, *interpolation, builder, only(inputs)?)
            }
            Self::Resize(by) => by.lower(builder, only(inputs)?),
            Self::CenterCrop { size } => resizing::centre(*size, builder, only(inputs)?),
            Self::AutoContrast { range } => contrast::stretched(*range, builder, only(inputs)?),

            Self::BatchNorm(norm) => norm.lower(builder, only(inputs)?),
            Self::LayerNorm(norm) => norm.lower(builder, only(inputs)?),
            Self::GroupNorm(norm) => norm.lower(builder, only(inputs)?),
            Self::UnitNorm(norm) => norm.lower(builder, only(inputs)?),
            Self::Normalization { mean, variance } => {
                normalization::preprocessing::normalized(mean, variance, builder, only(inputs)?)
            }
            Self::Denormalization { mean, variance } => {
                normalization::preprocessing::denormalized(mean, variance, builder, only(inputs)?)
            }
            Self::Rescaling { scale, offset } => scaling::rescaled(scale, offset, builder, only(inputs)?),
            Self::ScaledAdd { scale } => scaling::added_scaled(*scale, builder, inputs),

            Self::MultiHeadAttention(layer) => layer.lower(builder, inputs),
            Self::Attention(layer) => layer.lower(builder, inputs),
            Self::Einsum(einsum) => einsum.lower(builder, inputs),
            Self::MatrixProduct(product) => product.lower(builder, inputs),
            Self::Own(layer) => layer.lower(builder, inputs),

            Self::Merge(kind) => merging::merged(*kind, builder, inputs),
            Self::Concatenate { axis } => merging::concatenated(*axis, builder, inputs),
            Self::Stack { axis } => slicing::stacked(*axis, builder, inputs),
            Self::Slice { parts } => slicing::sliced(parts, builder, only(inputs)?),
            Self::Flatten => builder.flatten(only(inputs)?),
            Self::Reshape { target } => reshaping::reshaped(target, builder, only(inputs)?),
            Self::Rows { sizes } => reshaping::in_rows(sizes, builder, only(inputs)?),
            Self::Permute { axes } => reshaping::permuted(axes, builder, only(inputs)?),

            Self::Arithmetic(by) => by.lower(builder, inputs),
            Self::Function(function) => builder.unary(*function, only(inputs)?),
            Self::Comparison(by) => by.lower(builder, inputs),
            Self::Select(by) => by.lower(builder, inputs),
            Self::FullLike { value } => builder.full_like(only(inputs)?, *value),
            Self::Reduction(by) => by.lower(builder, only(inputs)?),
            Self::Gather(by) => by.lower(builder, only(inputs)?),
            Self::Pad(by) => by.lower(builder, only(inputs)?),
            Self::Patches(by) => by.lower(builder, only(inputs)?),
            Self::SpaceToDepth { block_size } => builder.space_to_depth(only(inputs)?, *block_size),
            Self::DepthToSpace { block_size } => builder.depth_to_space(only(inputs)?, *block_size),
        }
    }

    /// The sizes of the layer's output after the batch, for inputs with these sizes.
    ///
    /// # Errors
    /// As [`lower`](Self::lower).
    pub(super) fn output_sizes(&self, inputs: &[Sizes]) -> Result<Sizes, Fault> {
        let mut builder = Builder::new();
        let inputs: Result<Vec<Value>, Fault> = inputs
            .iter()
            .map(|sizes| builder.unresolved(&[], Shape::batched(sizes.iter().copied())))
            .collect();
        let output = self.lower(&mut builder, &inputs?)?;
        Ok(shapes::after_batch(builder.shape(output)))
    }
}

/// Returns whether no input has parts of an image folded into its batch where another has not. Constants have no batch.
fn have_equal_rows(builder: &Builder, inputs: &[Value]) -> bool {
    let batched = inputs.iter().map(|input| builder.shape(*input));
    let mut rows = batched.filter(|shape| shape.iter().any(|size| size.is_batch())).map(Shape::rows);
    let first = rows.next();
    rows.all(|rows| Some(rows) == first)
}

/// The only input.
///
/// # Errors
/// There is another number of them.
pub(super) fn only(inputs: &[Value]) -> Result<Value, Fault> {
    match inputs {
        [input] => Ok(*input),
        _ => Err(Fault(format!("it is called on {} inputs, expected 1", inputs.len()))),
    }
}

/// Keras's `axis`, which counts the batch and may be negative, as an axis counted from 0.
///
/// # Errors
/// The value has no such axis after the batch.
pub(super) fn axis_of(axis: i64, builder: &Builder, x: Value) -> Result<usize, Fault> {
    let sizes = shapes::after_batch(builder.shape(x));
    Ok(shapes::axis_after_batch(axis, &sizes)? + 1)
}

/// Axes counted from 0 after the batch, as axes that count it.
pub(super) fn with_batch(axes: &[usize]) -> Vec<usize> {
    axes.iter().map(|axis| axis.saturating_add(1)).collect()
}

/// Fails unless the last axis has so many elements, as far as that is known.
pub(super) fn expect_channels(expected: usize, builder: &Builder, x: Value) -> Result<(), Fault> {
    let shape = builder.shape(x);
    match shape.last() {
        Some(Size::Known(size)) if *size != expected => {
            let found = shape.described();
            Err(Fault(format!("its input has shape {found}, expected {expected} on the last axis")))
        }
        Some(Size::Known(_) | Size::Open) => Ok(()),
        Some(Size::Batch(_)) | None => {
            Err("its input has no axis after the batch, expected at least one".into())
        }
    }
}

/// Fails unless an array of this shape broadcasts against the value without its batch, and does not change its shape.
pub(super) fn expect_fitting(array: &[usize], builder: &Builder, x: Value) -> Result<(), Fault> {
    let shape = builder.shape(x);
    let own = shape.get(1..).unwrap_or_default();
    let fits = array.len() <= own.len()
        && array
            .iter()
            .rev()
            .zip(own.iter().rev())
            .all(|(size, of)| *size == 1 || of.known().is_none_or(|of| of == *size));
    if fits {
        return Ok(());
    }
    Err(Fault(format!(
        "its input has shape {}, which its values of shape {array:?} do not fit",
        shape.described()
    )))
}
