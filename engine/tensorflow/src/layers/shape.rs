//! Layers that move values without computing any.

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
    // Bit i of the mask: axis i goes to its end. An end of -0 would be the axis's beginning.
    let whole = |cut: usize, axis: i64| i64::from(cut == 0) << axis;
    let end_mask = 0b1001 | whole(bottom, 1) | whole(right, 2);
    ops.op("StridedSlice", &[input, &begin, &end, &step], &[("end_mask", Attribute::Integer(end_mask))])
}

pub(super) fn flatten(ops: &mut Ops, input: &Output) -> Result<Output, Fault> {
    let sizes: Option<Vec<usize>> = ops.sizes(input)?.into_iter().skip(1).collect();
    let elements = match sizes {
        Some(sizes) => to_i32(sizes.into_iter().product())?,
        None => -1,
    };
    ops.reshape(input, &[elements])
}

pub(super) fn reshape(ops: &mut Ops, target: &[i64], input: &Output) -> Result<Output, Fault> {
    let sizes: Option<Vec<usize>> = ops.sizes(input)?.into_iter().skip(1).collect();
    let is_open = target.contains(&-1);
    let given: usize = target.iter().filter_map(|size| usize::try_from(*size).ok()).product();
    let target = target
        .iter()
        .map(|size| match (usize::try_from(*size), &sizes) {
            (Ok(size), _) => to_i32(size),
            // What -1 stands for, so that the layers after this one know their shapes.
            (Err(_), Some(sizes)) => to_i32(sizes.iter().product::<usize>() / given.max(1)),
            (Err(_), None) => Ok(-1),
        })
        .collect::<Result<Vec<_>, _>>()?;
    // Without a -1 the importer has made sure that no two images become one; some may be folded into the batch.
    if let Some(sizes) = sizes.filter(|_| is_open) {
        let elements: usize = sizes.iter().product();
        if target.iter().map(|size| i64::from(*size)).product::<i64>() != elements as i64 {
            return Err(Fault(format!("{elements} values of shape {sizes:?} do not fit {target:?}")));
        }
    }
    ops.reshape(input, &target)
}

pub(super) fn permute(ops: &mut Ops, axes: &[usize], input: &Output) -> Result<Output, Fault> {
    let order = std::iter::once(0).chain(axes.iter().copied()).map(to_i32).collect::<Result<Vec<_>, _>>()?;
    let order = ops.integers(&[order.len()], &order)?;
    ops.binary("Transpose", input, &order)
}
