//! Maps each class to the function that reads it.

use serde_json::Map;

use crate::architecture::Dialect;
use crate::layers::{Layer, MergeKind, PoolKind, Verdict};
use crate::layers::{
    activation, attention, contrast, conv_transpose, convolution, cropping, dense, einsum, inert, input,
    lambda, locally_connected, merging, normalization, operation, pooling, recurrent, reshaping, resizing,
    scaling, wrapping,
};
use crate::reader::Reader;

/// Reads a layer of `class`. Returns `None` where the class is not supported. The reader collects the faults.
pub(crate) fn read(class: &str, reader: &mut Reader) -> Option<Layer> {
    let layer = by_class(class, reader)?;
    let transposed = reader.is_channels_first() && !matches!(layer, Layer::Identity);
    Some(if transposed { Layer::ChannelsFirst(Box::new(layer)) } else { layer })
}

fn by_class(class: &str, reader: &mut Reader) -> Option<Layer> {
    Some(match class {
        "InputLayer" => input::input(reader),

        "Conv2D" | "Convolution2D" => convolution::conv::<2>(reader),
        "Conv1D" | "Convolution1D" => convolution::conv::<1>(reader),
        "DepthwiseConv2D" => convolution::depthwise_conv::<2>(reader),
        "DepthwiseConv1D" => convolution::depthwise_conv::<1>(reader),
        "SeparableConv2D" | "SeparableConvolution2D" => convolution::separable_conv::<2>(reader),
        "SeparableConv1D" | "SeparableConvolution1D" => convolution::separable_conv::<1>(reader),
        "Conv2DTranspose" | "Convolution2DTranspose" => conv_transpose::conv_transpose::<2>(reader),
        "Conv1DTranspose" | "Convolution1DTranspose" => conv_transpose::conv_transpose::<1>(reader),
        "LocallyConnected2D" => locally_connected::locally_connected::<2>(reader),
        "LocallyConnected1D" => locally_connected::locally_connected::<1>(reader),
        "Dense" => dense::dense(reader),
        "BatchNormalization" | "BatchNormalizationV1" => normalization::batch::batch_normalization(reader),

        "Activation" => activation::activation(reader),
        "ReLU" => Layer::Activation(activation::relu(reader)),
        "LeakyReLU" => Layer::Activation(activation::leaky_relu(reader)),
        "ELU" => Layer::Activation(activation::elu(reader)),
        "ThresholdedReLU" => Layer::Activation(activation::thresholded_relu(reader)),
        "Softmax" => activation::softmax_layer(reader),
        "PReLU" => activation::prelu(reader),

        "MaxPooling2D" | "MaxPool2D" => pooling::pooling::<2>(reader, PoolKind::Max),
        "MaxPooling1D" | "MaxPool1D" => pooling::pooling::<1>(reader, PoolKind::Max),
        "AveragePooling2D" | "AvgPool2D" => pooling::pooling::<2>(reader, PoolKind::Average),
        "AveragePooling1D" | "AvgPool1D" => pooling::pooling::<1>(reader, PoolKind::Average),
        "GlobalMaxPooling2D" | "GlobalMaxPool2D" => pooling::global_pooling::<2>(reader, PoolKind::Max),
        "GlobalMaxPooling1D" | "GlobalMaxPool1D" => pooling::global_pooling::<1>(reader, PoolKind::Max),
        "GlobalAveragePooling2D" | "GlobalAvgPool2D" => {
            pooling::global_pooling::<2>(reader, PoolKind::Average)
        }
        "GlobalAveragePooling1D" | "GlobalAvgPool1D" => {
            pooling::global_pooling::<1>(reader, PoolKind::Average)
        }
        "AdaptiveMaxPooling2D" => pooling::adaptive::adaptive_pooling::<2>(reader, PoolKind::Max),
        "AdaptiveMaxPooling1D" => pooling::adaptive::adaptive_pooling::<1>(reader, PoolKind::Max),
        "AdaptiveAveragePooling2D" => pooling::adaptive::adaptive_pooling::<2>(reader, PoolKind::Average),
        "AdaptiveAveragePooling1D" => pooling::adaptive::adaptive_pooling::<1>(reader, PoolKind::Average),

        "ZeroPadding2D" => cropping::zero_padding::<2>(reader),
        "ZeroPadding1D" => cropping::zero_padding::<1>(reader),
        "Cropping2D" => cropping::cropping::<2>(reader),
        "Cropping1D" => cropping::cropping::<1>(reader),
        "UpSampling2D" => resizing::up_sampling(reader),
        "UpSampling1D" => resizing::up_sampling_1d(reader),
        "Resizing" => resizing::resizing(reader),
        "CenterCrop" => resizing::center_crop(reader),
        "RandomCrop" => resizing::random_crop(reader),
        "Flatten" => reshaping::flatten(reader),
        "Reshape" => reshaping::reshape(reader),
        "Permute" => reshaping::permute(reader),
        "RepeatVector" => reshaping::repeat_vector(reader),

        "Add" => Layer::Merge(MergeKind::Add),
        "Subtract" => Layer::Merge(MergeKind::Subtract),
        "Multiply" => Layer::Merge(MergeKind::Multiply),
        "Average" => Layer::Merge(MergeKind::Average),
        "Maximum" => Layer::Merge(MergeKind::Maximum),
        "Minimum" => Layer::Merge(MergeKind::Minimum),
        "Concatenate" => merging::concatenate(reader),
        "Dot" => merging::dot::dot(reader),

        "Rescaling" => scaling::rescaling(reader),
        "AutoContrast" => contrast::auto_contrast(reader),
        "Normalization" => normalization::preprocessing::normalization(reader),
        "LayerNormalization" => normalization::layer_normalization(reader),
        "RMSNormalization" => normalization::rms_normalization(reader),
        "UnitNormalization" => normalization::unit_normalization(reader),
        "GroupNormalization" => normalization::group::group_normalization(reader),
        // Layers of Keras's own applications.
        "LayerScale" | "Keras>LayerScale" | "Custom>LayerScale" => scaling::layer_scale(reader),
        "CustomScaleLayer" | "Custom>CustomScaleLayer" => scaling::scaled_add(reader),
        "StochasticDepth" | "Custom>StochasticDepth" => scaling::stochastic_depth(reader),

        "MultiHeadAttention" => attention::multi_head::multi_head_attention(reader),
        // An archive has its public name, an .hdf5 file the name of its class.
        "GroupedQueryAttention" | "GroupQueryAttention" => {
            attention::multi_head::grouped_query_attention(reader)
        }
        "Attention" => attention::single_head::plain_attention(reader),
        "AdditiveAttention" => attention::single_head::additive_attention(reader),
        "EinsumDense" => einsum::einsum_dense(reader),
        "Embedding" => {
            reader.ignore_everything();
            reader.fault(
                "it looks up what only an image tells; expected it to be called on constants when the model was \
                 made, which become constants of the model",
            );
            Layer::Identity
        }
        "SimpleRNN" => recurrent::simple::simple_rnn(reader),
        "GRU" => recurrent::gru::gru(reader),
        "LSTM" => recurrent::lstm::lstm(reader),
        "TimeDistributed" => wrapping::time_distributed(reader),
        "SpectralNormalization" => wrapping::spectral_normalization(reader),

        "Lambda" => lambda::lambda(reader),

        class if class.starts_with("tf.") || class.starts_with("ops.") => {
            operation::operation(class, reader)?
        }

        other => {
            inert::reason(other)?;
            inert::inert(reader)
        }
    })
}

/// Returns whether layers of a class do nothing at inference.
pub(crate) fn is_inert(class: &str) -> bool {
    inert::reason(class).is_some()
}

/// Returns how layers of a class are treated. It reads a layer without settings or inputs: a class that is refused
/// whatever its settings are has faults even so.
pub(crate) fn verdict(class: &str) -> Verdict {
    if is_inert(class) {
        return Verdict::Inert;
    }
    let settings = Map::new();
    let mut reader = Reader::new(Dialect::Keras3, &settings, &[], None);
    match by_class(class, &mut reader) {
        Some(_) if !reader.is_unsupported() => Verdict::Supported,
        Some(_) | None => Verdict::Refused,
    }
}

#[cfg(test)]
mod tests;
