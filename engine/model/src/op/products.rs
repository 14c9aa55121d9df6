//! Sums of products: convolutions, einsums. And pooling, which moves the same windows.

use std::fmt;

use crate::shape::Size;
use crate::tensor::Tensor;
use crate::window::Window;

/// `y[b, i, j, o] = bias[o] + sum over u, v, c of x[b, i * stride + u * dilation - before, …, c] * kernel[u, v, c, o]`, zeros
/// beyond the image. The channels of input and output are divided into equal groups; a group of the output sees the same
/// group of the input.
#[derive(Debug, Clone, PartialEq)]
pub struct Convolution {
    /// `[height, width, channels in / groups, channels out]`.
    pub kernel: Tensor,
    /// `[channels out]`.
    pub bias: Option<Tensor>,
    /// Vertical and horizontal; of the kernel's height and width.
    pub windows: [Window; 2],
    /// Number of groups, a divisor of both numbers of channels; 1 for a full convolution. A depthwise one has as many as
    /// its input has channels.
    pub groups: usize,
}

impl Convolution {
    /// Returns whether each channel of the input is a group by itself. The kernel's values are then those of a kernel
    /// `[height, width, channels in, channels out / channels in]` in the same order.
    #[must_use]
    pub fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.kernel.shape.get(2) == Some(&1)
    }
}

/// The gradient of a convolution with respect to its input, plus a bias. That convolution has this kernel and these windows,
/// and maps an image of this operation's output size to one of its input size.
///
/// `y[b, i * stride + u * dilation - before, …, o] += x[b, i, j, c] * kernel[u, v, o, c]`, where that is inside the output.
#[derive(Debug, Clone, PartialEq)]
pub struct ConvolutionTranspose {
    /// `[height, width, channels out, channels in]`.
    pub kernel: Tensor,
    /// `[channels out]`.
    pub bias: Option<Tensor>,
    /// Those of that convolution: their padding is beyond the output.
    pub windows: [Window; 2],
    /// Height and width of the output.
    pub size: [Size; 2],
}

/// The kinds of pooling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PoolKind {
    /// The mean of the pixels.
    Average,
    /// The largest.
    Max,
}

/// `abc,cd->abd`: the subscripts of each operand's axes and of the output's. Subscripts that the output lacks are summed
/// over. No operand has a subscript twice.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Equation {
    /// The subscripts of each operand.
    pub operands: Vec<Vec<char>>,
    /// The subscripts of the output.
    pub output: Vec<char>,
}

impl fmt::Display for Equation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operands: Vec<String> = self.operands.iter().map(|letters| letters.iter().collect()).collect();
        write!(f, "{}->{}", operands.join(","), self.output.iter().collect::<String>())
    }
}
