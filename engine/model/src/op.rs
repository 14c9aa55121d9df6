//! The primitives. The steps to add one are in the documentation of the crate.

use std::sync::Arc;

use crate::shape::Shape;
use crate::tensor::Tensor;
use crate::window::Window;

mod elements;
mod moving;
mod normalization;
mod products;

pub use self::elements::{Binary, Comparison, Reduce, Reduction, Unary};
pub use self::moving::{Interpolation, PadMode, Range, Resize, Steps};
pub use self::normalization::BatchNorm;
pub use self::products::{Convolution, ConvolutionTranspose, Equation, PoolKind};

/// What a node computes. Axes are counted from 0, the batch among them. Images are `[batch, height, width, channels]`.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// The batch of images that the graph is given.
    Input {
        /// The batch first.
        shape: Shape,
    },
    /// Numbers that are the same for all images.
    Constant(Tensor),

    /// A convolution of images, of all channels or of groups of them; a depthwise one has as many groups as channels.
    Convolution(Convolution),
    /// The gradient of a convolution with respect to its input, which makes images larger.
    ConvolutionTranspose(ConvolutionTranspose),
    /// The product of two values as matrices of their last two axes. The axes before these broadcast.
    MatrixProduct {
        /// Whether the last two axes of each operand are swapped first.
        transposed: [bool; 2],
    },
    /// A sum of products of one or two operands, in Einstein's notation.
    Einsum(Equation),
    /// The mean or the largest value of each window of an image, channel by channel. Positions beyond the image do not
    /// count: the mean is that of the pixels. Every window covers at least one pixel: it is not dilated, and its
    /// padding is smaller than its size.
    Pool {
        /// Which of the two.
        kind: PoolKind,
        /// Vertical and horizontal.
        windows: [Window; 2],
    },
    /// Each window of an image as one pixel: `[batch, rows, columns, height * width * channels]`, the pixels of a window row by
    /// row, each with its channels. Positions beyond the image are zeros.
    Patches {
        /// Vertical and horizontal.
        windows: [Window; 2],
    },

    /// A reduction over some axes.
    Reduce(Reduce),
    /// A function of each element.
    Unary(Unary),
    /// A function of two operands, which broadcast as in NumPy.
    Binary(Binary),
    /// 1 where it holds, else 0. The operands broadcast as in NumPy.
    Compare(Comparison),
    /// Elements of the second input where the first is not 0, else those of the third. The inputs broadcast as in NumPy.
    Select,
    /// One number in the shape of the input.
    FullLike {
        /// The number.
        value: f32,
    },

    /// `exp(x) / sum(exp(x))` over one axis; no exponential overflows.
    Softmax {
        /// The axis.
        axis: usize,
    },
    /// `x - log(sum(exp(x)))` over one axis; no exponential overflows.
    LogSoftmax {
        /// The axis.
        axis: usize,
    },
    /// Batch normalization with its moving statistics.
    BatchNorm(BatchNorm),
    /// The elements of one axis, the largest first.
    Sort {
        /// The axis, of known size.
        axis: usize,
    },
    /// The sums of the elements of one axis up to each, that one included.
    CumulativeSum {
        /// The axis.
        axis: usize,
    },

    /// The same elements, row-major, in another shape.
    Reshape {
        /// The shape. Its batch has another number of rows where parts of an image are folded into it.
        shape: Shape,
    },
    /// The axes in another order.
    Transpose {
        /// The axes of the input, in the order of the output.
        order: Vec<usize>,
    },
    /// The inputs one after the other along an axis.
    Concatenate {
        /// The axis.
        axis: usize,
    },
    /// A slice of each axis.
    Slice {
        /// One for each axis.
        ranges: Vec<Range>,
    },
    /// More elements around the input.
    Pad {
        /// How many before and after each axis.
        edges: Vec<[usize; 2]>,
        /// Which.
        mode: PadMode,
    },
    /// Elements of an axis by their indices.
    Gather {
        /// The axis.
        axis: usize,
        /// Counted from 0.
        indices: Arc<[usize]>,
    },
    /// Images of another height and width.
    Resize(Resize),
    /// Each block of pixels becomes one pixel, whose channels are those of the block, row by row.
    SpaceToDepth {
        /// Rows and columns of a block.
        block: usize,
    },
    /// The inverse of [`Op::SpaceToDepth`].
    DepthToSpace {
        /// Rows and columns of a block.
        block: usize,
    },

    /// A value whose computation depends on an open size. A graph with it has shapes but cannot be computed. The model
    /// is lowered again when the image size is known.
    Unresolved {
        /// The shape.
        shape: Shape,
    },
}

impl Op {
    /// The word for it in errors and in the text of a graph.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Input { .. } => "input",
            Self::Constant(_) => "constant",
            Self::Convolution(_) => "convolution",
            Self::ConvolutionTranspose(_) => "convolution_transpose",
            Self::MatrixProduct { .. } => "matrix_product",
            Self::Einsum(_) => "einsum",
            Self::Pool { kind: PoolKind::Average, .. } => "average_pool",
            Self::Pool { kind: PoolKind::Max, .. } => "max_pool",
            Self::Patches { .. } => "patches",
            Self::Reduce(reduce) => reduce.kind.name(),
            Self::Unary(function) => function.name(),
            Self::Binary(function) => function.name(),
            Self::Compare(comparison) => comparison.name(),
            Self::Select => "select",
            Self::FullLike { .. } => "full_like",
            Self::Softmax { .. } => "softmax",
            Self::LogSoftmax { .. } => "log_softmax",
            Self::BatchNorm(_) => "batch_norm",
            Self::Sort { .. } => "sort",
            Self::CumulativeSum { .. } => "cumulative_sum",
            Self::Reshape { .. } => "reshape",
            Self::Transpose { .. } => "transpose",
            Self::Concatenate { .. } => "concatenate",
            Self::Slice { .. } => "slice",
            Self::Pad { .. } => "pad",
            Self::Gather { .. } => "gather",
            Self::Resize(_) => "resize",
            Self::SpaceToDepth { .. } => "space_to_depth",
            Self::DepthToSpace { .. } => "depth_to_space",
            Self::Unresolved { .. } => "unresolved",
        }
    }

    /// The weights that it carries.
    #[must_use]
    pub fn weights(&self) -> Vec<&Tensor> {
        match self {
            Self::Constant(tensor) => vec![tensor],
            Self::Convolution(Convolution { kernel, bias, .. })
            | Self::ConvolutionTranspose(ConvolutionTranspose { kernel, bias, .. }) => {
                std::iter::once(kernel).chain(bias).collect()
            }
            Self::BatchNorm(norm) => {
                [&norm.mean, &norm.variance].into_iter().chain(&norm.gamma).chain(&norm.beta).collect()
            }
            Self::Input { .. }
            | Self::MatrixProduct { .. }
            | Self::Einsum(_)
            | Self::Pool { .. }
            | Self::Patches { .. }
            | Self::Reduce(_)
            | Self::Unary(_)
            | Self::Binary(_)
            | Self::Compare(_)
            | Self::Select
            | Self::FullLike { .. }
            | Self::Softmax { .. }
            | Self::LogSoftmax { .. }
            | Self::Sort { .. }
            | Self::CumulativeSum { .. }
            | Self::Reshape { .. }
            | Self::Transpose { .. }
            | Self::Concatenate { .. }
            | Self::Slice { .. }
            | Self::Pad { .. }
            | Self::Gather { .. }
            | Self::Resize(_)
            | Self::SpaceToDepth { .. }
            | Self::DepthToSpace { .. }
            | Self::Unresolved { .. } => Vec::new(),
        }
    }
}
