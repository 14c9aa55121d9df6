//! Which class is read by which function.

use crate::keras::layers::{Layer, MergeKind, PoolKind};
use crate::keras::layers::{
    activation, attention, convolution, dense, einsum, framing, inert, input, merging, normalization,
    operation, pooling, reshaping, scaling, transposed, wrapping,
};
use crate::keras::reader::Reader;

/// Reads a layer of `class`; `None` where the class is not supported. Faults are noted in the reader.
pub(in crate::keras) fn read(class: &str, reader: &mut Reader) -> Option<Layer> {
    let layer = by_class(class, reader)?;
    let turned = reader.is_channels_first() && !matches!(layer, Layer::Identity);
    Some(if turned { Layer::ChannelsFirst(Box::new(layer)) } else { layer })
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
        "Conv2DTranspose" | "Convolution2DTranspose" => transposed::conv_transpose::<2>(reader),
        "Conv1DTranspose" | "Convolution1DTranspose" => transposed::conv_transpose::<1>(reader),
        "Dense" => dense::dense(reader),
        "BatchNormalization" | "BatchNormalizationV1" => normalization::batch_normalization(reader),

        "Activation" => activation::activation(reader),
        "ReLU" => Layer::Activation(activation::relu(reader)),
        "LeakyReLU" => Layer::Activation(activation::leaky_relu(reader)),
        "ELU" => Layer::Activation(activation::elu(reader)),
        "Softmax" => Layer::Activation(activation::softmax(reader)),
        "PReLU" => activation::prelu(reader),

        "MaxPooling2D" => pooling::pooling(reader, PoolKind::Max),
        "AveragePooling2D" => pooling::pooling(reader, PoolKind::Average),
        "GlobalMaxPooling2D" => pooling::global_pooling(reader, PoolKind::Max),
        "GlobalAveragePooling2D" => pooling::global_pooling(reader, PoolKind::Average),

        "ZeroPadding2D" => framing::zero_padding(reader),
        "Cropping2D" => framing::cropping(reader),
        "UpSampling2D" => framing::up_sampling(reader),
        "Flatten" => reshaping::flatten(reader),
        "Reshape" => reshaping::reshape(reader),
        "Permute" => reshaping::permute(reader),

        "Add" => Layer::Merge(MergeKind::Add),
        "Subtract" => Layer::Merge(MergeKind::Subtract),
        "Multiply" => Layer::Merge(MergeKind::Multiply),
        "Average" => Layer::Merge(MergeKind::Average),
        "Maximum" => Layer::Merge(MergeKind::Maximum),
        "Minimum" => Layer::Merge(MergeKind::Minimum),
        "Concatenate" => merging::concatenate(reader),

        "Rescaling" => scaling::rescaling(reader),
        "Normalization" => normalization::normalization(reader),
        "LayerNormalization" => normalization::layer_normalization(reader),
        // Layers of Keras's own applications.
        "LayerScale" | "Keras>LayerScale" | "Custom>LayerScale" => scaling::layer_scale(reader),
        "CustomScaleLayer" | "Custom>CustomScaleLayer" => scaling::scaled_add(reader),
        "StochasticDepth" | "Custom>StochasticDepth" => scaling::stochastic_depth(reader),

        "MultiHeadAttention" => attention::multi_head_attention(reader),
        // An archive has its public name, an .hdf5 file that of its class.
        "GroupedQueryAttention" | "GroupQueryAttention" => attention::grouped_query_attention(reader),
        "Attention" => attention::plain_attention(reader),
        "AdditiveAttention" => attention::additive_attention(reader),
        "EinsumDense" => einsum::einsum_dense(reader),
        "Embedding" => {
            reader.ignore_everything();
            reader.fault(
                "it looks up what only an image tells; expected it to be called on constants when the model was \
                 made, which become constants of the model",
            );
            Layer::Identity
        }
        "TimeDistributed" => wrapping::time_distributed(reader),
        "SpectralNormalization" => wrapping::spectral_normalization(reader),

        "Lambda" => {
            reader.ignore_everything();
            reader.fault(
                "it holds Python code, which is never run here; expected a layer or an operation instead",
            );
            Layer::Identity
        }

        class if class.starts_with("tf.") || class.starts_with("ops.") => {
            operation::operation(class, reader)?
        }

        other => {
            inert::reason(other)?;
            inert::inert(reader)
        }
    })
}

/// Whether layers of a class do nothing at inference.
pub(in crate::keras) fn is_inert(class: &str) -> bool {
    inert::reason(class).is_some()
}
