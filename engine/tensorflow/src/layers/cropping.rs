//! Layers that add rows and columns to an image or take some away.

use tensorflow::Output;

use crate::ops::{Attribute, Fault, Ops, to_i32};
use keras::layers::Edges;

pub(super) fn padding2d(ops: &mut Ops, edges: Edges, value: f32, input: &Output) -> Result<Output, Fault> {
    if value == 0.0 {
        return ops.pad(input, edges);
    }
    let sides = ops.sides(edges)?;
    let value = ops.constant(&[], &[value])?;
    ops.op("PadV2", &[input, &sides, &value], &[])
}

pub(super) fn cropping2d(ops: &mut Ops, edges: Edges, input: &Output) -> Result<Output, Fault> {
    let Edges { top, bottom, left, right } = edges;
    let [_, height, width, _] = ops.sizes(input)?[..] else {
        return Err(Fault(format!("its input has {} axes, expected 4", ops.sizes(input)?.len())));
    };
    for (size, cut, axis) in [(height, top + bottom, "high"), (width, left + right, "wide")] {
        if let Some(size) = size.filter(|size| *size <= cut) {
            return Err(Fault(format!("it cuts {cut} pixels off an image that is {size} {axis}")));
        }
    }
    let begin = ops.integers(&[4], &[0, to_i32(top)?, to_i32(left)?, 0])?;
    let end = ops.integers(&[4], &[0, -to_i32(bottom)?, -to_i32(right)?, 0])?;
    let step = ops.integers(&[4], &[1, 1, 1, 1])?;
    // Bit i of the mask: the slice takes axis i to its end. An end of -0 would mean its beginning.
    let whole = |cut: usize, axis: i64| i64::from(cut == 0) << axis;
    let end_mask = 0b1001 | whole(bottom, 1) | whole(right, 2);
    ops.op("StridedSlice", &[input, &begin, &end, &step], &[("end_mask", Attribute::Integer(end_mask))])
}
