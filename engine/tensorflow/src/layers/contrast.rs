//! Contrast stretching.

use tensorflow::Output;

use crate::ops::{Attribute, Fault, Ops};

/// Stretches the contrast as Keras does: in the range 0 to 255, then back. A constant channel stays as it is, since its
/// range is zero.
pub(super) fn auto_contrast(ops: &mut Ops, range: [f32; 2], input: &Output) -> Result<Output, Fault> {
    const COLOURS: [f32; 2] = [0.0, 255.0];
    let colours = moved(ops, input, range, COLOURS)?;
    let axes = ops.integers(&[2], &[1, 2])?;
    let keep = [("keep_dims", Attribute::Bool(true))];
    let low = ops.op("Min", &[&colours, &axes], &keep)?;
    let high = ops.op("Max", &[&colours, &axes], &keep)?;
    let spread = ops.binary("Sub", &high, &low)?;
    let whole = ops.constant(&[], &[COLOURS[1]])?;
    let scale = ops.binary("RealDiv", &whole, &spread)?;
    let darkest = ops.binary("Mul", &low, &scale)?;
    let stretched = ops.binary("Mul", &colours, &scale)?;
    let stretched = ops.binary("Sub", &stretched, &darkest)?;
    let one_colour = ops.unary("IsNan", &stretched)?;
    let stretched = ops.with_scalar("Maximum", &stretched, COLOURS[0])?;
    let stretched = ops.with_scalar("Minimum", &stretched, COLOURS[1])?;
    let stretched = moved(ops, &stretched, COLOURS, range)?;
    ops.op("SelectV2", &[&one_colour, input, &stretched], &[])
}

fn moved(ops: &mut Ops, input: &Output, from: [f32; 2], to: [f32; 2]) -> Result<Output, Fault> {
    if from == to {
        return Ok(input.clone());
    }
    let zero_based = ops.with_scalar("Sub", input, from[0])?;
    let unit = ops.with_scalar("RealDiv", &zero_based, from[1] - from[0])?;
    let scaled = ops.with_scalar("Mul", &unit, to[1] - to[0])?;
    ops.with_scalar("AddV2", &scaled, to[0])
}
