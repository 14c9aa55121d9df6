//! Shapes of activation functions. Most keep the shape.

use super::{Shape, axis_after_batch, describe};
use crate::layers::{Activation, Layer};

/// The activation function of a layer.
pub(super) fn of(layer: &Layer) -> Option<Activation> {
    match layer {
        Layer::Activation(function) => Some(*function),
        Layer::Conv2d(conv) | Layer::Conv2dAdd(conv) => Some(conv.activation),
        Layer::DepthwiseConv2d(conv) => Some(conv.activation),
        Layer::SeparableConv2d(conv) => Some(conv.activation),
        Layer::ConvTranspose2d(conv) => Some(conv.activation),
        Layer::LocallyConnected2d(layer) => Some(layer.activation),
        Layer::Dense(dense) => Some(dense.activation),
        Layer::Input { .. }
        | Layer::Identity
        | Layer::MultiOutput(_)
        | Layer::TimeDistributed(_)
        | Layer::Constant(_)
        | Layer::MultiHeadAttention(_)
        | Layer::DotProductAttention(_)
        | Layer::Attention(_)
        | Layer::Einsum(_)
        | Layer::MatrixProduct(_)
        | Layer::Function(_)
        | Layer::Comparison(_)
        | Layer::Select(_)
        | Layer::FullLike { .. }
        | Layer::Gather(_)
        | Layer::Pad(_)
        | Layer::Patches(_)
        | Layer::SpaceToDepth { .. }
        | Layer::DepthToSpace { .. }
        | Layer::Sequential(_)
        | Layer::OverSequence(_)
        | Layer::ChannelsFirst(_)
        | Layer::BatchNorm(_)
        | Layer::Prelu { .. }
        | Layer::Pool2d(_)
        | Layer::GlobalPool2d { .. }
        | Layer::ZeroPadding2d(_)
        | Layer::Cropping2d(_)
        | Layer::UpSampling2d { .. }
        | Layer::Flatten
        | Layer::Reshape { .. }
        | Layer::Permute { .. }
        | Layer::LayerNorm(_)
        | Layer::ScaledAdd { .. }
        | Layer::Arithmetic(_)
        | Layer::Reduction(_)
        | Layer::Slice { .. }
        | Layer::Stack { .. }
        | Layer::Merge(_)
        | Layer::Concatenate { .. }
        | Layer::Rescaling { .. }
        | Layer::Normalization { .. }
        | Layer::Denormalization { .. }
        | Layer::GroupNorm(_)
        | Layer::UnitNorm(_)
        | Layer::SoftmaxOver { .. }
        | Layer::AdaptivePool2d(_)
        | Layer::Resize(_)
        | Layer::CenterCrop { .. }
        | Layer::AutoContrast { .. }
        | Layer::Dot(_) => None,
    }
}

pub(super) fn applied(function: Activation, input: &Shape) -> Result<Shape, String> {
    match function {
        Activation::Softmax { axis } | Activation::LogSoftmax { axis } => {
            axis_after_batch(axis, input)?;
            Ok(input.clone())
        }
        Activation::Sparsemax { axis } => match input[axis_after_batch(axis, input)?] {
            Some(_) => Ok(input.clone()),
            None => {
                Err(format!("its input has shape {}, expected a fixed size on axis {axis}", describe(input)))
            }
        },
        Activation::Glu { axis } => {
            let index = axis_after_batch(axis, input)?;
            let mut halved = input.clone();
            match input[index] {
                Some(size) if size % 2 == 0 => halved[index] = Some(size / 2),
                Some(_) | None => {
                    return Err(format!(
                        "its input has shape {}, expected an even size on axis {axis}",
                        describe(input)
                    ));
                }
            }
            Ok(halved)
        }
        Activation::Linear
        | Activation::Relu { .. }
        | Activation::Sigmoid
        | Activation::Tanh
        | Activation::Elu { .. }
        | Activation::Selu
        | Activation::Softplus
        | Activation::Softsign
        | Activation::Swish
        | Activation::Gelu { .. }
        | Activation::HardSigmoid { .. }
        | Activation::HardSwish
        | Activation::Exponential
        | Activation::LogSigmoid
        | Activation::Mish
        | Activation::Celu { .. }
        | Activation::HardTanh
        | Activation::HardShrink { .. }
        | Activation::SoftShrink { .. }
        | Activation::TanhShrink
        | Activation::Threshold { .. }
        | Activation::SparsePlus
        | Activation::SparseSigmoid
        | Activation::Squareplus { .. } => Ok(input.clone()),
    }
}
