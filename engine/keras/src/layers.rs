//! What each layer computes, with its attributes and weights. Images are `[batch, height, width, channels]`. The file of a
//! family of layers holds their attributes, how these are read, and how the layers are lowered to primitives.

pub(super) mod activation;
mod attention;
pub(super) mod catalog;
mod contrast;
mod conv_transpose;
mod convolution;
mod cropping;
mod dense;
mod einsum;
mod inert;
pub(super) mod input;
mod lambda;
mod libraries;
mod locally_connected;
#[cfg(test)]
mod lowered;
mod lowering;
mod merging;
mod normalization;
mod operation;
mod pooling;
mod recurrent;
#[cfg(test)]
mod refusals;
mod reshaping;
mod resizing;
mod scaling;
mod sequence;
mod slicing;
mod windows;
mod wrapping;

use std::sync::Arc;

use model::Unary;

pub use self::activation::Activation;
pub use self::attention::multi_head::{MultiHeadAttention, Projection};
pub use self::attention::single_head::{Attention, AttentionScore};
pub use self::conv_transpose::ConvTranspose2d;
pub use self::convolution::{Conv2d, DepthwiseConv2d, SeparableConv2d};
pub use self::cropping::Edges;
pub use self::dense::Dense;
pub use self::einsum::Einsum;
pub use self::locally_connected::LocallyConnected2d;
pub use self::lowering::Lower;
pub use self::merging::MergeKind;
pub use self::normalization::batch::BatchNorm;
pub use self::normalization::group::GroupNorm;
pub use self::normalization::{LayerNorm, LayerNormKind, UnitNorm};
pub use self::operation::{
    Arithmetic, Comparison, Gather, MatrixProduct, Operand, Pad, Patches, Reduction, ReductionKind, Select,
};
pub use self::pooling::Pool2d;
pub use self::pooling::adaptive::AdaptivePool2d;
pub use self::resizing::{Fit, Resize};
pub use self::slicing::Part;
pub use self::windows::Padding;
pub use model::{Interpolation, PoolKind};

use super::Tensor;
use super::architecture::Dialect;

/// The layers a model can be made of. Layers that do nothing at inference are [`Layer::Identity`].
#[derive(Debug, Clone)]
pub enum Layer {
    /// The model's input: sizes after the batch, `None` where the model takes any.
    Input {
        /// Height, width, channels for an image.
        shape: Vec<Option<usize>>,
    },
    /// Returns its input.
    Identity,
    /// Layers of one input each, one after the other.
    Sequential(Vec<Layer>),
    /// A layer for images, applied to `[batch, sequence, channels]` as to an image of one row: the 1D form of the layer.
    OverSequence(Box<Layer>),
    /// A layer whose input has its channels on the first axis after the batch. It is computed with the channels last, and
    /// the output is transposed back where it has as many axes as the input.
    ChannelsFirst(Box<Layer>),
    /// An operation with several outputs. Each is computed by a layer of its own from all inputs, which becomes a node
    /// of the model.
    MultiOutput(Vec<Layer>),
    /// A layer applied to each position of `[batch, sequence, …]` by itself.
    TimeDistributed(Box<Layer>),
    /// A constant, the same for all images; the first of its sizes is 1.
    Constant(Tensor),
    /// Multi-head attention with its projections.
    MultiHeadAttention(Box<MultiHeadAttention>),
    /// Attention with a single head, without projections.
    Attention(Attention),
    /// A sum of products in Einstein notation.
    Einsum(Einsum),
    /// A product of matrices.
    MatrixProduct(MatrixProduct),
    /// A function of each element.
    Function(Unary),
    /// A comparison of two operands, element by element.
    Comparison(Comparison),
    /// Elements of one of two operands, chosen by a condition.
    Select(Select),
    /// One value everywhere, in the shape of the input.
    FullLike {
        /// The value.
        value: f32,
    },
    /// Elements of an axis by their indices.
    Gather(Gather),
    /// Padding around the input.
    Pad(Pad),
    /// Patches of an image, each as one pixel.
    Patches(Patches),
    /// Each block of pixels becomes one pixel with more channels.
    SpaceToDepth {
        /// Rows and columns of a block.
        block_size: usize,
    },
    /// Each pixel becomes a block of pixels with fewer channels.
    DepthToSpace {
        /// Rows and columns of a block.
        block_size: usize,
    },
    /// Convolution.
    Conv2d(Conv2d),
    /// Depthwise convolution: of each channel by itself.
    DepthwiseConv2d(DepthwiseConv2d),
    /// A depthwise convolution followed by a pointwise one.
    SeparableConv2d(SeparableConv2d),
    /// Transposed convolution.
    ConvTranspose2d(ConvTranspose2d),
    /// Fully connected layer: a matrix product over the last axis.
    Dense(Dense),
    /// Batch normalization with its moving statistics.
    BatchNorm(BatchNorm),
    /// An activation by itself.
    Activation(Activation),
    /// Leaky ReLU with a learnt slope; `alpha` broadcasts against the input without its batch.
    Prelu {
        /// The slopes.
        alpha: Tensor,
    },
    /// Pooling over windows.
    Pool2d(Pool2d),
    /// Global pooling: `[batch, channels]`, or `[batch, 1, 1, channels]`.
    GlobalPool2d {
        /// Mean or maximum.
        kind: PoolKind,
        /// Whether the two axes stay, with size 1.
        keep_dims: bool,
    },
    /// Zeros around the image.
    ZeroPadding2d(Edges),
    /// Rows and columns cropped at the edges.
    Cropping2d(Edges),
    /// Upsampling by whole factors.
    UpSampling2d {
        /// For height and width.
        factors: [usize; 2],
        /// How new pixels are computed.
        interpolation: Interpolation,
    },
    /// All axes after the batch flattened into one.
    Flatten,
    /// Another shape with as many elements. The batch stays.
    Reshape {
        /// Sizes after the batch; at most one is -1.
        target: Vec<i64>,
    },
    /// Rows of these sizes, as many as there are elements for: parts of an image may become rows of the batch, and back.
    Rows {
        /// Sizes after the batch.
        sizes: Vec<usize>,
    },
    /// The axes transposed. The batch stays.
    Permute {
        /// 1-based, as in Keras.
        axes: Vec<usize>,
    },
    /// Layer normalization.
    LayerNorm(LayerNorm),
    /// `first + second * scale`.
    ScaledAdd {
        /// Factor of the second input.
        scale: f32,
    },
    /// An operation on two operands, element by element.
    Arithmetic(Arithmetic),
    /// A reduction over some axes.
    Reduction(Reduction),
    /// A slice of the axes after the batch.
    Slice {
        /// One for each axis, and one for each new axis.
        parts: Vec<Part>,
    },
    /// Inputs stacked along a new axis.
    Stack {
        /// May be negative; counts the batch and the new axis.
        axis: i64,
    },
    /// Inputs combined element by element, with broadcasting.
    Merge(MergeKind),
    /// Inputs concatenated along an axis.
    Concatenate {
        /// May be negative; counts the batch.
        axis: i64,
    },
    /// `input * scale + offset`.
    Rescaling {
        /// One value, or one per channel.
        scale: Vec<f32>,
        /// One value, or one per channel.
        offset: Vec<f32>,
    },
    /// `(input - mean) / max(sqrt(variance), 1e-7)`; both broadcast against the input without its batch.
    Normalization {
        /// Means.
        mean: Tensor,
        /// Variances.
        variance: Tensor,
    },
    /// `input * max(sqrt(variance), 1e-7) + mean`; both broadcast against the input without its batch.
    Denormalization {
        /// Means.
        mean: Tensor,
        /// Variances.
        variance: Tensor,
    },
    /// Group normalization.
    GroupNorm(GroupNorm),
    /// Vectors scaled to length one.
    UnitNorm(UnitNorm),
    /// Softmax over several axes jointly.
    SoftmaxOver {
        /// The axes, counted from 0 after the batch, ascending.
        axes: Vec<usize>,
    },
    /// Adaptive pooling: into a fixed number of windows.
    AdaptivePool2d(AdaptivePool2d),
    /// An image resized.
    Resize(Resize),
    /// The centre of the image. Of an image that is too small, the centre of the same aspect ratio, resized.
    CenterCrop {
        /// Height and width.
        size: [usize; 2],
    },
    /// The contrast stretched so that each channel of each image covers the whole range.
    AutoContrast {
        /// Smallest and largest value.
        range: [f32; 2],
    },
    /// A layer of which nothing has to be known outside its own file but that it can be lowered.
    Own(Arc<dyn Lower>),
    /// A convolution with a kernel of its own at each position.
    LocallyConnected2d(LocallyConnected2d),
}

/// What the importer does with layers of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It reads them, and computes what Keras computes.
    Supported,
    /// It passes their input on, since they do nothing at inference.
    Inert,
    /// It refuses them, and says why.
    Refused,
}
