//! What each layer computes, with its attributes and weights. All images are `[batch, height, width,
//! channels]`.

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
mod locally_connected;
mod merging;
mod normalization;
mod operation;
mod pooling;
#[cfg(test)]
mod refusals;
mod reshaping;
mod resizing;
mod scaling;
mod sequence;
mod slicing;
mod wrapping;

pub use self::activation::Activation;
pub use self::attention::{Attention, AttentionScore, HeadsAttention, MultiHeadAttention, Projection};
pub use self::conv_transpose::ConvTranspose2d;
pub use self::einsum::{Einsum, Equation};
pub use self::locally_connected::LocallyConnected2d;
pub use self::merging::Dot;
pub use self::normalization::group::GroupNorm;
pub use self::normalization::{LayerNorm, LayerNormKind, UnitNorm};
pub use self::operation::{
    Blocks, Choice, Comparison, ComparisonKind, Function, Gather, MatrixProduct, Pad, PadMode, Patches,
};
pub use self::pooling::AdaptivePool2d;
pub use self::resizing::{Fit, Interpolation, Resize};
pub use self::slicing::Part;
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
    /// Passes its input on.
    Identity,
    /// Layers of one input each, one after the other.
    Chain(Vec<Layer>),
    /// A layer over `[batch, steps, channels]`, which it takes for an image of one row.
    OverSteps(Box<Layer>),
    /// A layer whose input has its channels right behind the batch: computed with the channels last, and turned
    /// back where the output has as many axes as the input.
    ChannelsFirst(Box<Layer>),
    /// Several outputs, each computed by a layer of its own from all inputs. A model has these as nodes of their
    /// own.
    Several(Vec<Layer>),
    /// A layer over each step of `[batch, steps, …]` by itself.
    OverEachStep(Box<Layer>),
    /// The same for all images; the first of its sizes is 1.
    Constant(Tensor),
    /// Attention in several heads between projections.
    MultiHeadAttention(Box<MultiHeadAttention>),
    /// Attention in several heads by itself.
    HeadsAttention(HeadsAttention),
    /// Attention without heads.
    Attention(Attention),
    /// Products summed by Einstein's convention.
    Einsum(Einsum),
    /// A product of matrices.
    MatrixProduct(MatrixProduct),
    /// A function of each value.
    Function(Function),
    /// Two values compared.
    Comparison(Comparison),
    /// One of two values.
    Choice(Choice),
    /// One value everywhere, in the shape of the input.
    Fill {
        /// Which.
        value: f32,
    },
    /// Places of an axis in another order, perhaps several times or not at all.
    Gather(Gather),
    /// Something around the input.
    Pad(Pad),
    /// Windows of an image, each as one pixel.
    Patches(Patches),
    /// Blocks of pixels from or into channels.
    Blocks(Blocks),
    /// Convolution.
    Conv2d(Conv2d),
    /// Convolution of the first input, to whose result the second is added before the activation. In no file: two
    /// layers that became one.
    Conv2dAdd(Conv2d),
    /// Convolution of each channel by itself.
    DepthwiseConv2d(DepthwiseConv2d),
    /// A depthwise convolution followed by a 1×1 one.
    SeparableConv2d(SeparableConv2d),
    /// Convolution backwards: from its result's size to its input's.
    ConvTranspose2d(ConvTranspose2d),
    /// Matrix product over the last axis.
    Dense(Dense),
    /// Batch normalization with its moving statistics.
    BatchNorm(BatchNorm),
    /// An activation by itself.
    Activation(Activation),
    /// Leaky rectifier with a learnt slope; `alpha` broadcasts against the input without its batch.
    Prelu {
        /// The slopes.
        alpha: Tensor,
    },
    /// Pooling over windows.
    Pool2d(Pool2d),
    /// Pooling over the whole image: `[batch, channels]`, or `[batch, 1, 1, channels]`.
    GlobalPool2d {
        /// Mean or maximum.
        kind: PoolKind,
        /// Whether the two axes stay, with size 1.
        keep_dims: bool,
    },
    /// Zeros around the image.
    ZeroPadding2d(Edges),
    /// Rows and columns cut off.
    Cropping2d(Edges),
    /// Each pixel several times, or new ones between them.
    UpSampling2d {
        /// Times in height and width.
        factors: [usize; 2],
        /// How new pixels come about.
        interpolation: Interpolation,
    },
    /// All axes after the batch become one.
    Flatten,
    /// Another shape with as many elements; the batch stays.
    Reshape {
        /// Sizes after the batch; at most one is -1.
        target: Vec<i64>,
    },
    /// Axes in another order; the batch stays.
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
    /// Some axes become one value each.
    Reduction(Reduction),
    /// Parts of the axes after the batch.
    Slice {
        /// One for each axis, and one for each new axis.
        parts: Vec<Part>,
    },
    /// Several inputs one after the other along a new axis.
    Stack {
        /// May be negative; counts the batch and the new axis.
        axis: i64,
    },
    /// Several inputs become one, element by element, with broadcasting.
    Merge(MergeKind),
    /// Several inputs one after the other.
    Concatenate {
        /// May be negative; counts the batch.
        axis: i64,
    },
    /// `input * scale + offset`.
    Rescaling {
        /// One value, or one a channel.
        scale: Vec<f32>,
        /// One value, or one a channel.
        offset: Vec<f32>,
    },
    /// `(input - mean) / max(sqrt(variance), 1e-7)`; both broadcast against the input.
    Normalization {
        /// Means.
        mean: Tensor,
        /// Variances.
        variance: Tensor,
    },
    /// `input * max(sqrt(variance), 1e-7) + mean`; both broadcast against the input.
    Denormalization {
        /// Means.
        mean: Tensor,
        /// Variances.
        variance: Tensor,
    },
    /// Group normalization.
    GroupNorm(GroupNorm),
    /// Vectors of length one.
    UnitNorm(UnitNorm),
    /// Softmax over several axes together.
    SoftmaxOver {
        /// Which, counted from 0 after the batch, ascending.
        axes: Vec<usize>,
    },
    /// Pooling into a fixed number of windows.
    AdaptivePool2d(AdaptivePool2d),
    /// An image of another size.
    Resize(Resize),
    /// The middle of the image; of one that is too small the middle of the same proportions, resized.
    CenterCrop {
        /// Height and width.
        size: [usize; 2],
    },
    /// Colours stretched so that each channel of each image reaches from one end of the range to the other.
    AutoContrast {
        /// Smallest and largest value.
        range: [f32; 2],
    },
    /// Products of two inputs, summed over an axis of each.
    Dot(Dot),
    /// A convolution with a kernel of its own at each place.
    LocallyConnected2d(LocallyConnected2d),
}

/// What the importer does with layers of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Reads them, and computes what Keras computes.
    Supported,
    /// Passes their input on, since that is all they do at inference.
    Inert,
    /// Says that it does not know them, or why it does not read them.
    Refused,
}

/// How a window meets the image's edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// Only whole windows.
    Valid,
    /// As many outputs as `ceil(size / stride)`.
    Same,
}

/// [`Layer::Conv2d`].
#[derive(Debug, Clone)]
pub struct Conv2d {
    /// `[height, width, channels in / groups, channels out]`.
    pub kernel: Tensor,
    /// `[channels out]`.
    pub bias: Option<Tensor>,
    /// Vertical, horizontal.
    pub strides: [usize; 2],
    /// Vertical, horizontal.
    pub dilation: [usize; 2],
    /// At the edges.
    pub padding: Padding,
    /// Divides both numbers of channels.
    pub groups: usize,
    /// Applied to the result.
    pub activation: Activation,
}

/// [`Layer::DepthwiseConv2d`].
#[derive(Debug, Clone)]
pub struct DepthwiseConv2d {
    /// `[height, width, channels, depth multiplier]`.
    pub kernel: Tensor,
    /// `[channels * depth multiplier]`.
    pub bias: Option<Tensor>,
    /// Vertical, horizontal.
    pub strides: [usize; 2],
    /// Vertical, horizontal.
    pub dilation: [usize; 2],
    /// At the edges.
    pub padding: Padding,
    /// Applied to the result.
    pub activation: Activation,
}

/// [`Layer::SeparableConv2d`].
#[derive(Debug, Clone)]
pub struct SeparableConv2d {
    /// `[height, width, channels, depth multiplier]`.
    pub depthwise: Tensor,
    /// `[1, 1, channels * depth multiplier, channels out]`.
    pub pointwise: Tensor,
    /// `[channels out]`.
    pub bias: Option<Tensor>,
    /// Vertical, horizontal.
    pub strides: [usize; 2],
    /// Vertical, horizontal.
    pub dilation: [usize; 2],
    /// At the edges.
    pub padding: Padding,
    /// Applied to the result.
    pub activation: Activation,
}

/// [`Layer::Dense`].
#[derive(Debug, Clone)]
pub struct Dense {
    /// `[inputs, units]`.
    pub kernel: Tensor,
    /// `[units]`.
    pub bias: Option<Tensor>,
    /// Applied to the result.
    pub activation: Activation,
}

/// [`Layer::BatchNorm`]: `gamma * (input - mean) / sqrt(variance + epsilon) + beta`.
#[derive(Debug, Clone)]
pub struct BatchNorm {
    /// The axis that is normalized, counted with the batch; may be negative.
    pub axis: i64,
    /// Learnt scale, `[size of axis]`.
    pub gamma: Option<Tensor>,
    /// Learnt offset, `[size of axis]`.
    pub beta: Option<Tensor>,
    /// Moving mean, `[size of axis]`.
    pub mean: Tensor,
    /// Moving variance, `[size of axis]`.
    pub variance: Tensor,
    /// Added to the variance.
    pub epsilon: f32,
}

/// [`Layer::Arithmetic`]. Operands broadcast as in NumPy.
#[derive(Debug, Clone)]
pub struct Arithmetic {
    /// Which operation.
    pub kind: ArithmeticKind,
    /// First operand.
    pub left: Operand,
    /// Second operand.
    pub right: Operand,
}

/// Operations on two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArithmeticKind {
    /// Sum.
    Add,
    /// Left minus right.
    Subtract,
    /// Product.
    Multiply,
    /// Left by right.
    Divide,
    /// Left to the power of right.
    Power,
    /// The larger.
    Maximum,
    /// The smaller.
    Minimum,
    /// The square of left minus right.
    SquaredDifference,
}

/// What an operation computes from.
#[derive(Debug, Clone)]
pub enum Operand {
    /// One of the node's inputs, by its number.
    Input(usize),
    /// A constant, whose axes are the last of the input's, the batch counted.
    Constant(Tensor),
}

/// [`Layer::Reduction`].
#[derive(Debug, Clone)]
pub struct Reduction {
    /// What becomes of the values.
    pub kind: ReductionKind,
    /// Which axes, counted from 0 after the batch, ascending.
    pub axes: Vec<usize>,
    /// Whether they stay, with size 1.
    pub keep_dims: bool,
}

/// How several values become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReductionKind {
    /// Their mean.
    Mean,
    /// Their sum.
    Sum,
    /// The largest.
    Max,
    /// The smallest.
    Min,
    /// Their product.
    Product,
    /// The mean square of their distance from their mean.
    Variance,
    /// Its square root.
    Deviation,
    /// The square root of the sum of their squares.
    Length,
    /// The logarithm of the sum of their exponentials.
    LogSumExp,
}

/// [`Layer::Pool2d`].
#[derive(Debug, Clone)]
pub struct Pool2d {
    /// Mean or maximum. The mean counts no padding.
    pub kind: PoolKind,
    /// Height and width of the window.
    pub size: [usize; 2],
    /// Vertical, horizontal.
    pub strides: [usize; 2],
    /// At the edges.
    pub padding: Padding,
}

/// What a pooling keeps of its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolKind {
    /// The mean.
    Average,
    /// The largest.
    Max,
}

/// Rows and columns at the four edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Edges {
    /// Rows above.
    pub top: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns to the left.
    pub left: usize,
    /// Columns to the right.
    pub right: usize,
}

/// How [`Layer::Merge`] combines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergeKind {
    /// Sum.
    Add,
    /// First minus second.
    Subtract,
    /// Product.
    Multiply,
    /// Mean.
    Average,
    /// Largest.
    Maximum,
    /// Smallest.
    Minimum,
}
