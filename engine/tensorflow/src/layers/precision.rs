//! Which layers compute in bfloat16 between convolutions that do. All others compute in float32.

use tensorflow::{DataType, Output};

use crate::ops::{Fault, Ops, type_of};
use keras::layers::{Activation, Layer, MergeKind};

/// Casts the inputs to a type that the layer computes in.
pub(super) fn inputs(ops: &mut Ops, layer: &Layer, inputs: &[Output]) -> Result<Vec<Output>, Fault> {
    let as_they_are =
        keeps_precision(layer) && inputs.iter().all(|input| type_of(input) == type_of(&inputs[0]));
    if as_they_are {
        return Ok(inputs.to_vec());
    }
    inputs.iter().map(|input| ops.cast(input, DataType::Float)).collect()
}

/// Returns whether the layer loses nothing in bfloat16 beyond one rounding, since it moves values, compares them or adds
/// few. A mean over an image adds many. Convolutions choose their type themselves.
fn keeps_precision(layer: &Layer) -> bool {
    matches!(
        layer,
        Layer::Conv2d(_)
            | Layer::Conv2dAdd(_)
            | Layer::DepthwiseConv2d(_)
            | Layer::Identity
            | Layer::Activation(Activation::Linear | Activation::Relu { .. })
            | Layer::Pool2d(_)
            | Layer::ZeroPadding2d(_)
            | Layer::Merge(MergeKind::Add)
            | Layer::Concatenate { .. }
    )
}
