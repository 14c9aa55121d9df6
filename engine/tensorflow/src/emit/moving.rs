//! Operations that move values without computing any.

use tensorflow::Output;

use super::Operand;
use crate::ops::{Attribute, Fault, Ops};
use model::{PadMode, Range, Shape};

/// The batch dimension is -1 in TensorFlow's shape.
pub(super) fn reshape(ops: &mut Ops, input: &Operand<'_>, shape: &Shape) -> Result<Output, Fault> {
    if shape.is_open() {
        return Err(super::open());
    }
    let sizes: Vec<Option<usize>> = shape.iter().map(|size| size.known()).collect();
    ops.reshape(&input.output, &sizes)
}

pub(super) fn concatenate(ops: &mut Ops, axis: usize, operands: &[Operand<'_>]) -> Result<Output, Fault> {
    let inputs: Vec<Output> = operands.iter().map(|operand| operand.output.clone()).collect();
    ops.concatenate(&inputs, axis)
}

pub(super) fn gather(
    ops: &mut Ops,
    axis: usize,
    indices: &[usize],
    input: &Operand<'_>,
) -> Result<Output, Fault> {
    let indices = ops.axes(indices)?;
    let axis = ops.axis(axis)?;
    ops.op("GatherV2", &[&input.output, &indices, &axis], &[])
}

pub(super) fn pad(
    ops: &mut Ops,
    edges: &[[usize; 2]],
    mode: PadMode,
    input: &Operand<'_>,
) -> Result<Output, Fault> {
    let mirrored = match mode {
        PadMode::Constant(value) => return ops.pad(&input.output, edges, value),
        PadMode::Reflect => "REFLECT",
        PadMode::Symmetric => "SYMMETRIC",
    };
    ops.mirror_pad(&input.output, edges, mirrored)
}

pub(super) fn slice(ops: &mut Ops, ranges: &[Range], input: &Operand<'_>) -> Result<Output, Fault> {
    let bound = |bound: i64| {
        i32::try_from(bound).map_err(|_| Fault(format!("the bound {bound} of its slice is too large")))
    };
    let (mut begin, mut end, mut steps) = (Vec::new(), Vec::new(), Vec::new());
    // Bit i: axis i has no such bound, so that its number is not read.
    let (mut begin_mask, mut end_mask) = (0_i64, 0_i64);
    for (axis, Range { start, stop, step }) in ranges.iter().enumerate() {
        begin.push(bound(start.unwrap_or(0))?);
        end.push(bound(stop.unwrap_or(0))?);
        steps.push(bound(*step)?);
        begin_mask |= i64::from(start.is_none()) << axis;
        end_mask |= i64::from(stop.is_none()) << axis;
    }
    let [begin, end, steps] = [begin, end, steps].map(|numbers| ops.integers(&[numbers.len()], &numbers));
    ops.op(
        "StridedSlice",
        &[&input.output, &begin?, &end?, &steps?],
        &[("begin_mask", Attribute::Integer(begin_mask)), ("end_mask", Attribute::Integer(end_mask))],
    )
}
