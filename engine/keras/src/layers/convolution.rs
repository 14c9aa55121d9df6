//! `Conv2D`, `DepthwiseConv2D`, `SeparableConv2D` and their 1D forms.

use model::{Builder, Convolution, Fault, Value};

use super::windows::{Moves, Padding};
use crate::Tensor;
use crate::layers::{Activation, Layer, sequence};
use crate::reader::Reader;
use crate::shapes::Sizes;

/// [`Layer::Conv2d`].
#[derive(Debug, Clone)]
pub struct Conv2d {
    /// `[height, width, channels in / groups, channels out]`.
    pub kernel: Tensor,
    /// `[channels out]`.
    pub bias: Option<Tensor>,
    /// Stride as `[vertical, horizontal]`.
    pub strides: [usize; 2],
    /// Dilation as `[vertical, horizontal]`.
    pub dilation: [usize; 2],
    /// Padding at the edges.
    pub padding: Padding,
    /// Number of groups, a divisor of both numbers of channels.
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
    /// Stride as `[vertical, horizontal]`.
    pub strides: [usize; 2],
    /// Dilation as `[vertical, horizontal]`.
    pub dilation: [usize; 2],
    /// Padding at the edges.
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
    /// Stride as `[vertical, horizontal]`.
    pub strides: [usize; 2],
    /// Dilation as `[vertical, horizontal]`.
    pub dilation: [usize; 2],
    /// Padding at the edges.
    pub padding: Padding,
    /// Applied to the result.
    pub activation: Activation,
}

pub(super) fn conv<const AXES: usize>(reader: &mut Reader) -> Layer {
    let filters = reader.size("filters");
    let size = reader.sizes::<AXES>("kernel_size");
    let groups = reader.size_or("groups", 1);
    let channels = reader.channels();
    if channels.is_some_and(|channels| !channels.is_multiple_of(groups)) || !filters.is_multiple_of(groups) {
        reader.fault(format!("`groups` is {groups}, expected a divisor of its channels and of `filters`"));
    }
    let channels = channels.map(|channels| channels / groups);
    reader.data_format();
    let path = path(reader, size);
    let kernel = reader.weight(&["kernel"], &weight_shape(size, [channels, Some(filters)]));
    path.apply::<AXES>(Layer::Conv2d(Conv2d {
        kernel: sequence::kernel::<AXES>(kernel),
        bias: reader.flag_or("use_bias", true).then(|| reader.weight(&["bias"], &[Some(filters)])),
        strides: path.moves.strides,
        dilation: path.moves.dilation,
        padding: path.moves.padding,
        groups,
        activation: reader.activation(),
    }))
}

pub(super) fn depthwise_conv<const AXES: usize>(reader: &mut Reader) -> Layer {
    let size = reader.sizes::<AXES>("kernel_size");
    let multiplier = reader.size_or("depth_multiplier", 1);
    let channels = reader.channels();
    let outputs = channels.and_then(|channels| channels.checked_mul(multiplier));
    only_one_group(reader);
    // Keras 2 writes what it inherits from `Conv2D`, whose `filters` has no meaning here.
    reader.ignore(&["filters"]);
    reader.data_format();
    let path = path(reader, size);
    let shape = weight_shape(size, [channels, Some(multiplier)]);
    let kernel = reader.weight(&["kernel", "depthwise_kernel"], &shape);
    path.apply::<AXES>(Layer::DepthwiseConv2d(DepthwiseConv2d {
        kernel: sequence::kernel::<AXES>(kernel),
        bias: reader.flag_or("use_bias", true).then(|| reader.weight(&["bias"], &[outputs])),
        strides: path.moves.strides,
        dilation: path.moves.dilation,
        padding: path.moves.padding,
        activation: reader.activation(),
    }))
}

pub(super) fn separable_conv<const AXES: usize>(reader: &mut Reader) -> Layer {
    let filters = reader.size("filters");
    let size = reader.sizes::<AXES>("kernel_size");
    let multiplier = reader.size_or("depth_multiplier", 1);
    let channels = reader.channels();
    let between = channels.and_then(|channels| channels.checked_mul(multiplier));
    only_one_group(reader);
    reader.data_format();
    let path = path(reader, size);
    let depthwise = weight_shape(size, [channels, Some(multiplier)]);
    let pointwise = weight_shape([1; AXES], [between, Some(filters)]);
    let depthwise = reader.weight(&["depthwise_kernel"], &depthwise);
    let pointwise = reader.weight(&["pointwise_kernel"], &pointwise);
    path.apply::<AXES>(Layer::SeparableConv2d(SeparableConv2d {
        depthwise: sequence::kernel::<AXES>(depthwise),
        pointwise: sequence::kernel::<AXES>(pointwise),
        bias: reader.flag_or("use_bias", true).then(|| reader.weight(&["bias"], &[Some(filters)])),
        strides: path.moves.strides,
        dilation: path.moves.dilation,
        padding: path.moves.padding,
        activation: reader.activation(),
    }))
}

/// How a kernel moves over its input.
#[derive(Clone, Copy)]
struct Path {
    moves: Moves,
    /// Zeros before the first position of a sequence, for causal padding: no output depends on a later input.
    zeros_before: usize,
}

impl Path {
    fn apply<const AXES: usize>(self, layer: Layer) -> Layer {
        sequence::layer::<AXES>(match self.zeros_before {
            0 => layer,
            zeros => sequence::after_zeros(zeros, layer),
        })
    }
}

/// Over a sequence `padding` may be "causal", too.
fn path<const AXES: usize>(reader: &mut Reader, size: [usize; AXES]) -> Path {
    let strides = reader.sizes_or("strides", [1; AXES]);
    let dilation = reader.sizes_or("dilation_rate", [1; AXES]);
    let causal = AXES == 1 && reader.value("padding").is_some_and(|padding| padding == "causal");
    let reach = size.iter().zip(dilation).map(|(size, by)| (size - 1).saturating_mul(by)).next();
    let moves = Moves {
        strides: sequence::for_image(strides, 1),
        dilation: sequence::for_image(dilation, 1),
        padding: if causal { Padding::Valid } else { reader.padding() },
    };
    Path { moves, zeros_before: reach.filter(|_| causal).unwrap_or(0) }
}

fn weight_shape<const AXES: usize>(size: [usize; AXES], channels: [Option<usize>; 2]) -> Sizes {
    size.into_iter().map(Some).chain(channels).collect()
}

/// Keras 2 writes `groups` here too, and takes nothing but 1.
pub(super) fn only_one_group(reader: &mut Reader) {
    let groups = reader.size_or("groups", 1);
    if groups != 1 {
        reader.fault(format!("`groups` is {groups}, expected 1"));
    }
}

impl Conv2d {
    pub(super) fn lower(&self, builder: &mut Builder, x: Value) -> Result<Value, Fault> {
        let moves = Moves { strides: self.strides, dilation: self.dilation, padding: self.padding };
        let windows = moves.windows(&self.kernel.shape);
        let (kernel, bias, groups) = (self.kernel.clone(), self.bias.clone(), self.groups);
        let convolved = builder.convolution(x, Convolution { kernel, bias, windows, groups })?;
        self.activation.lower(builder, convolved)
    }
}

impl DepthwiseConv2d {
    pub(super) fn lower(&self, builder: &mut Builder, x: Value) -> Result<Value, Fault> {
        let moves = Moves { strides: self.strides, dilation: self.dilation, padding: self.padding };
        let convolved = depthwise(builder, x, &self.kernel, (moves, self.bias.clone()))?;
        self.activation.lower(builder, convolved)
    }
}

impl SeparableConv2d {
    pub(super) fn lower(&self, builder: &mut Builder, x: Value) -> Result<Value, Fault> {
        let moves = Moves { strides: self.strides, dilation: self.dilation, padding: self.padding };
        let each = depthwise(builder, x, &self.depthwise, (moves, None))?;
        let moves = Moves { strides: [1, 1], dilation: [1, 1], padding: Padding::Valid };
        let windows = moves.windows(&self.pointwise.shape);
        let (kernel, bias) = (self.pointwise.clone(), self.bias.clone());
        let convolved = builder.convolution(each, Convolution { kernel, bias, windows, groups: 1 })?;
        self.activation.lower(builder, convolved)
    }
}

/// A convolution with a group for each channel. Its kernel has the values of `[height, width, channels, depth multiplier]`
/// in the same order.
fn depthwise(
    builder: &mut Builder,
    x: Value,
    kernel: &Tensor,
    (moves, bias): (Moves, Option<Tensor>),
) -> Result<Value, Fault> {
    let [height, width, channels, multiplier] = kernel.shape[..] else {
        return Err(Fault(format!("its kernel has shape {:?}, expected 4 axes", kernel.shape)));
    };
    let outputs = channels.checked_mul(multiplier).ok_or("its output is too large to be computed")?;
    let windows = moves.windows(&kernel.shape);
    let kernel = kernel.reshaped(&[height, width, 1, outputs]);
    builder.convolution(x, Convolution { kernel, bias, windows, groups: channels })
}
