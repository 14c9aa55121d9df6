//! Layers that merge several inputs.

use tensorflow::Output;

use crate::ops::{Fault, Ops, to_i32};
use keras::layers::MergeKind;

pub(super) mod dot;

pub(super) fn merge(ops: &mut Ops, kind: MergeKind, inputs: &[Output]) -> Result<Output, Fault> {
    let inputs = align(ops, inputs)?;
    let operation = match kind {
        MergeKind::Add | MergeKind::Average => "AddV2",
        MergeKind::Subtract => "Sub",
        MergeKind::Multiply => "Mul",
        MergeKind::Maximum => "Maximum",
        MergeKind::Minimum => "Minimum",
    };
    let (first, rest) = inputs.split_first().ok_or_else(|| Fault("it has no inputs".to_owned()))?;
    if kind == MergeKind::Subtract && rest.len() != 1 {
        return Err(Fault(format!("it has {} inputs, expected 2", inputs.len())));
    }
    let mut result = first.clone();
    for input in rest {
        result = ops.binary(operation, &result, input)?;
    }
    match kind {
        MergeKind::Average => {
            #[expect(clippy::cast_precision_loss, reason = "nobody merges 16 million inputs")]
            let count = inputs.len() as f32;
            ops.with_scalar("RealDiv", &result, count)
        }
        MergeKind::Add
        | MergeKind::Subtract
        | MergeKind::Multiply
        | MergeKind::Maximum
        | MergeKind::Minimum => Ok(result),
    }
}

/// Adds axes of size 1 after the batch to inputs that have fewer axes than others, as Keras does before it broadcasts.
fn align(ops: &mut Ops, inputs: &[Output]) -> Result<Vec<Output>, Fault> {
    let ranks = inputs.iter().map(|x| Ok(ops.sizes(x)?.len())).collect::<Result<Vec<_>, Fault>>()?;
    let most = ranks.iter().copied().max().unwrap_or(0);
    let mut aligned = Vec::with_capacity(inputs.len());
    for (input, rank) in inputs.iter().zip(ranks) {
        let mut input = input.clone();
        for _ in rank..most {
            let axis = ops.integers(&[], &[1])?;
            input = ops.binary("ExpandDims", &input, &axis)?;
        }
        aligned.push(input);
    }
    Ok(aligned)
}

pub(super) fn concatenate(ops: &mut Ops, axis: i64, inputs: &[Output]) -> Result<Output, Fault> {
    let first = inputs.first().ok_or_else(|| Fault("it has no inputs".to_owned()))?;
    let axis = ops.axis(first, axis)?;
    ops.concatenate(inputs, to_i32(axis)?)
}
