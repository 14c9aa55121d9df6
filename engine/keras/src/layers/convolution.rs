//! `Conv2D`, `DepthwiseConv2D`, `SeparableConv2D` and their 1D forms.

use crate::layers::{Conv2d, DepthwiseConv2d, Layer, Padding, SeparableConv2d, sequence};
use crate::reader::Reader;
use crate::shapes::Shape;

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
    let window = window(reader, size);
    let kernel = reader.weight(&["kernel"], &weight_shape(size, [channels, Some(filters)]));
    window.apply::<AXES>(Layer::Conv2d(Conv2d {
        kernel: sequence::kernel::<AXES>(kernel),
        bias: reader.flag_or("use_bias", true).then(|| reader.weight(&["bias"], &[Some(filters)])),
        strides: window.strides,
        dilation: window.dilation,
        padding: window.padding,
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
    let window = window(reader, size);
    let shape = weight_shape(size, [channels, Some(multiplier)]);
    let kernel = reader.weight(&["kernel", "depthwise_kernel"], &shape);
    window.apply::<AXES>(Layer::DepthwiseConv2d(DepthwiseConv2d {
        kernel: sequence::kernel::<AXES>(kernel),
        bias: reader.flag_or("use_bias", true).then(|| reader.weight(&["bias"], &[outputs])),
        strides: window.strides,
        dilation: window.dilation,
        padding: window.padding,
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
    let window = window(reader, size);
    let depthwise = weight_shape(size, [channels, Some(multiplier)]);
    let pointwise = weight_shape([1; AXES], [between, Some(filters)]);
    let depthwise = reader.weight(&["depthwise_kernel"], &depthwise);
    let pointwise = reader.weight(&["pointwise_kernel"], &pointwise);
    window.apply::<AXES>(Layer::SeparableConv2d(SeparableConv2d {
        depthwise: sequence::kernel::<AXES>(depthwise),
        pointwise: sequence::kernel::<AXES>(pointwise),
        bias: reader.flag_or("use_bias", true).then(|| reader.weight(&["bias"], &[Some(filters)])),
        strides: window.strides,
        dilation: window.dilation,
        padding: window.padding,
        activation: reader.activation(),
    }))
}

/// How a kernel moves over its input.
#[derive(Clone, Copy)]
struct Window {
    strides: [usize; 2],
    dilation: [usize; 2],
    padding: Padding,
    /// Zeros before the first position of a sequence, for causal padding: no output depends on a later input.
    zeros_before: usize,
}

impl Window {
    fn apply<const AXES: usize>(self, layer: Layer) -> Layer {
        sequence::layer::<AXES>(match self.zeros_before {
            0 => layer,
            zeros => sequence::after_zeros(zeros, layer),
        })
    }
}

/// Over a sequence `padding` may be "causal", too.
fn window<const AXES: usize>(reader: &mut Reader, size: [usize; AXES]) -> Window {
    let strides = reader.sizes_or("strides", [1; AXES]);
    let dilation = reader.sizes_or("dilation_rate", [1; AXES]);
    let causal = AXES == 1 && reader.value("padding").is_some_and(|padding| padding == "causal");
    let reach = size.iter().zip(dilation).map(|(size, by)| (size - 1).saturating_mul(by)).next();
    Window {
        strides: sequence::for_image(strides, 1),
        dilation: sequence::for_image(dilation, 1),
        padding: if causal { Padding::Valid } else { reader.padding() },
        zeros_before: reach.filter(|_| causal).unwrap_or(0),
    }
}

fn weight_shape<const AXES: usize>(size: [usize; AXES], channels: [Option<usize>; 2]) -> Shape {
    size.into_iter().map(Some).chain(channels).collect()
}

/// Keras 2 writes `groups` here too, and takes nothing but 1.
pub(super) fn only_one_group(reader: &mut Reader) {
    let groups = reader.size_or("groups", 1);
    if groups != 1 {
        reader.fault(format!("`groups` is {groups}, expected 1"));
    }
}
