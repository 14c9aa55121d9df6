//! Slices of tensors, and tensors stacked along a new axis.

use tensorflow::Output;

use crate::ops::{Attribute, Fault, Ops, to_i32};
use keras::layers::Part;

pub(super) fn slice(ops: &mut Ops, parts: &[Part], input: &Output) -> Result<Output, Fault> {
    // The batch is taken whole.
    let (mut begin, mut end, mut strides) = (vec![0], vec![0], vec![1]);
    let (mut begin_mask, mut end_mask, mut shrink_mask, mut new_mask) = (1_i64, 1_i64, 0_i64, 0_i64);
    for (index, part) in parts.iter().enumerate() {
        let bit = 1_i64
            .checked_shl(u32::try_from(index + 1).unwrap_or(u32::MAX))
            .ok_or_else(|| Fault(format!("it takes {} axes apart, expected fewer", parts.len())))?;
        match *part {
            Part::Range { start, stop, step } => {
                begin.push(bound(start.unwrap_or(0))?);
                end.push(bound(stop.unwrap_or(0))?);
                strides.push(bound(step)?);
                if start.is_none() {
                    begin_mask |= bit;
                }
                if stop.is_none() {
                    end_mask |= bit;
                }
            }
            Part::At(element) => {
                begin.push(bound(element)?);
                end.push(bound(element + 1)?);
                strides.push(1);
                shrink_mask |= bit;
            }
            Part::NewAxis => {
                begin.push(0);
                end.push(0);
                strides.push(1);
                new_mask |= bit;
            }
        }
    }
    let begin = ops.integers(&[begin.len()], &begin)?;
    let end = ops.integers(&[end.len()], &end)?;
    let strides = ops.integers(&[strides.len()], &strides)?;
    ops.op(
        "StridedSlice",
        &[input, &begin, &end, &strides],
        &[
            ("begin_mask", Attribute::Integer(begin_mask)),
            ("end_mask", Attribute::Integer(end_mask)),
            ("shrink_axis_mask", Attribute::Integer(shrink_mask)),
            ("new_axis_mask", Attribute::Integer(new_mask)),
        ],
    )
}

fn bound(bound: i64) -> Result<i32, Fault> {
    i32::try_from(bound).map_err(|_| Fault(format!("the bound {bound} is too large")))
}

pub(super) fn stack(ops: &mut Ops, axis: i64, inputs: &[Output]) -> Result<Output, Fault> {
    let first = inputs.first().ok_or_else(|| Fault("it has no inputs".to_owned()))?;
    let rank = ops.sizes(first)?.len() as i64 + 1;
    let from_front = if axis < 0 { axis + rank } else { axis };
    let axis = usize::try_from(from_front).ok().filter(|axis| (*axis as i64) < rank);
    let axis = to_i32(axis.ok_or_else(|| Fault(format!("axis {from_front} does not exist")))?)?;
    let mut widened = Vec::with_capacity(inputs.len());
    for input in inputs {
        let axis = ops.integers(&[], &[axis])?;
        widened.push(ops.binary("ExpandDims", input, &axis)?);
    }
    ops.concatenate(&widened, axis)
}
