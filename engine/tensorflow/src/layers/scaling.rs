//! Scaling and shifting with numbers of the config.

use tensorflow::Output;

use crate::ops::{Fault, Ops};

pub(super) fn rescaling(
    ops: &mut Ops,
    scale: &[f32],
    offset: &[f32],
    input: &Output,
) -> Result<Output, Fault> {
    let scale = one_or_many(ops, scale)?;
    let scaled = ops.binary("Mul", input, &scale)?;
    if offset.iter().all(|value| *value == 0.0) {
        return Ok(scaled);
    }
    let offset = one_or_many(ops, offset)?;
    ops.binary("AddV2", &scaled, &offset)
}

fn one_or_many(ops: &mut Ops, values: &[f32]) -> Result<Output, Fault> {
    match values {
        [only] => ops.constant(&[], &[*only]),
        many => ops.constant(&[many.len()], many),
    }
}

pub(super) fn scaled_add(ops: &mut Ops, scale: f32, inputs: &[Output]) -> Result<Output, Fault> {
    let [first, second] = inputs else {
        return Err(Fault(format!("it has {} inputs, expected 2", inputs.len())));
    };
    let scaled = ops.with_scalar("Mul", second, scale)?;
    ops.binary("AddV2", first, &scaled)
}
