//! `Conv2D`, `DepthwiseConv2D`, `SeparableConv2D`.

use crate::keras::layers::{Conv2d, DepthwiseConv2d, Layer, SeparableConv2d};
use crate::keras::reader::Reader;

pub(super) fn conv2d(reader: &mut Reader) -> Layer {
    let filters = reader.size("filters");
    let [height, width] = reader.pair("kernel_size");
    let groups = reader.size_or("groups", 1);
    let channels = reader.channels();
    if channels.is_some_and(|channels| !channels.is_multiple_of(groups)) || !filters.is_multiple_of(groups) {
        reader.fault(format!("`groups` is {groups}, expected a divisor of its channels and of `filters`"));
    }
    let channels = channels.map(|channels| channels / groups);
    reader.channels_last();
    Layer::Conv2d(Conv2d {
        kernel: reader.weight(&["kernel"], &[Some(height), Some(width), channels, Some(filters)]),
        bias: reader.flag_or("use_bias", true).then(|| reader.weight(&["bias"], &[Some(filters)])),
        strides: reader.pair_or("strides", [1, 1]),
        dilation: reader.pair_or("dilation_rate", [1, 1]),
        padding: reader.padding(),
        groups,
        activation: reader.activation(),
    })
}

pub(super) fn depthwise_conv2d(reader: &mut Reader) -> Layer {
    let [height, width] = reader.pair("kernel_size");
    let multiplier = reader.size_or("depth_multiplier", 1);
    let channels = reader.channels();
    let outputs = channels.and_then(|channels| channels.checked_mul(multiplier));
    only_one_group(reader);
    // Keras 2 writes what it inherits from `Conv2D`, whose `filters` has no meaning here.
    reader.ignore(&["filters"]);
    reader.channels_last();
    let shape = [Some(height), Some(width), channels, Some(multiplier)];
    Layer::DepthwiseConv2d(DepthwiseConv2d {
        kernel: reader.weight(&["kernel", "depthwise_kernel"], &shape),
        bias: reader.flag_or("use_bias", true).then(|| reader.weight(&["bias"], &[outputs])),
        strides: reader.pair_or("strides", [1, 1]),
        dilation: reader.pair_or("dilation_rate", [1, 1]),
        padding: reader.padding(),
        activation: reader.activation(),
    })
}

pub(super) fn separable_conv2d(reader: &mut Reader) -> Layer {
    let filters = reader.size("filters");
    let [height, width] = reader.pair("kernel_size");
    let multiplier = reader.size_or("depth_multiplier", 1);
    let channels = reader.channels();
    let between = channels.and_then(|channels| channels.checked_mul(multiplier));
    only_one_group(reader);
    reader.channels_last();
    let depthwise = [Some(height), Some(width), channels, Some(multiplier)];
    let pointwise = [Some(1), Some(1), between, Some(filters)];
    Layer::SeparableConv2d(SeparableConv2d {
        depthwise: reader.weight(&["depthwise_kernel"], &depthwise),
        pointwise: reader.weight(&["pointwise_kernel"], &pointwise),
        bias: reader.flag_or("use_bias", true).then(|| reader.weight(&["bias"], &[Some(filters)])),
        strides: reader.pair_or("strides", [1, 1]),
        dilation: reader.pair_or("dilation_rate", [1, 1]),
        padding: reader.padding(),
        activation: reader.activation(),
    })
}

/// Keras 2 writes `groups` here too, and takes nothing but 1.
fn only_one_group(reader: &mut Reader) {
    let groups = reader.size_or("groups", 1);
    if groups != 1 {
        reader.fault(format!("`groups` is {groups}, expected 1"));
    }
}
