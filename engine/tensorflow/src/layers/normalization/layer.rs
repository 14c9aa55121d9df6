//! Layer normalization and unit normalization: over some axes of each image by itself.

use tensorflow::Output;

use crate::layers::axes_with_batch;
use crate::ops::{Attribute, Fault, Ops};
use keras::layers::{LayerNorm, LayerNormKind, UnitNorm};

pub(in crate::layers) fn layer_norm(
    ops: &mut Ops,
    norm: &LayerNorm,
    input: &Output,
) -> Result<Output, Fault> {
    let axes = axes_with_batch(ops, &norm.axes)?;
    let (values, spread) = match norm.kind {
        LayerNormKind::Standard | LayerNormKind::VarianceFloor => centred(ops, input, &axes)?,
        LayerNormKind::RmsScaling => (input.clone(), centred(ops, input, &axes)?.1),
        LayerNormKind::Rms => (input.clone(), mean_square(ops, input, &axes)?),
    };
    let bounded = if norm.kind == LayerNormKind::VarianceFloor { "Maximum" } else { "AddV2" };
    let spread = ops.with_scalar(bounded, &spread, norm.epsilon)?;
    let mut scale = ops.unary("Rsqrt", &spread)?;
    if let Some(gamma) = &norm.gamma {
        let gamma = ops.weights(gamma)?;
        scale = ops.binary("Mul", &scale, &gamma)?;
    }
    let scaled = ops.binary("Mul", &values, &scale)?;
    match &norm.beta {
        Some(beta) => {
            let beta = ops.weights(beta)?;
            ops.binary("AddV2", &scaled, &beta)
        }
        None => Ok(scaled),
    }
}

/// Returns the input minus its mean, and its variance.
pub(super) fn centred(ops: &mut Ops, input: &Output, axes: &Output) -> Result<(Output, Output), Fault> {
    let mean = ops.op("Mean", &[input, axes], &[("keep_dims", Attribute::Bool(true))])?;
    let centred = ops.binary("Sub", input, &mean)?;
    let variance = mean_square(ops, &centred, axes)?;
    Ok((centred, variance))
}

fn mean_square(ops: &mut Ops, input: &Output, axes: &Output) -> Result<Output, Fault> {
    let squares = ops.unary("Square", input)?;
    ops.op("Mean", &[&squares, axes], &[("keep_dims", Attribute::Bool(true))])
}

pub(in crate::layers) fn unit_norm(ops: &mut Ops, norm: &UnitNorm, input: &Output) -> Result<Output, Fault> {
    let axes = axes_with_batch(ops, &norm.axes)?;
    of_length_one(ops, input, &axes, norm.epsilon)
}

/// Divides vectors along the axes by their lengths, whose squares are at least `epsilon`.
pub(in crate::layers) fn of_length_one(
    ops: &mut Ops,
    input: &Output,
    axes: &Output,
    epsilon: f32,
) -> Result<Output, Fault> {
    let squares = ops.unary("Square", input)?;
    let sum = ops.op("Sum", &[&squares, axes], &[("keep_dims", Attribute::Bool(true))])?;
    let sum = ops.with_scalar("Maximum", &sum, epsilon)?;
    let scale = ops.unary("Rsqrt", &sum)?;
    ops.binary("Mul", input, &scale)
}
