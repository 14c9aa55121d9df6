//! Group normalization.

use tensorflow::Output;

use super::layer::centred;
use crate::layers::reshaping;
use crate::ops::{Fault, Ops, to_i32};
use keras::Tensor;
use keras::layers::GroupNorm;

/// Transposes the axis with the groups to the end and splits it: `[batch, all else, groups, size of a group]`.
pub(in crate::layers) fn group_norm(
    ops: &mut Ops,
    norm: &GroupNorm,
    input: &Output,
) -> Result<Output, Fault> {
    let axis = ops.axis(input, norm.axis)?;
    let axes = ops.sizes(input)?.len();
    let Some(size) = ops.sizes(input)?[axis].filter(|size| size.is_multiple_of(norm.groups)) else {
        return Err(Fault(format!("axis {axis} of its input cannot be divided into {} groups", norm.groups)));
    };
    let each = size / norm.groups;
    let to_last: Vec<usize> = (1..axes).filter(|other| *other != axis).chain([axis]).collect();
    let transposed = if axis + 1 == axes { input.clone() } else { reshaping::permute(ops, &to_last, input)? };
    let grouped = ops.reshape(&transposed, &[-1, to_i32(norm.groups)?, to_i32(each)?])?;

    let over = ops.integers(&[2], &[1, 3])?;
    let (values, variance) = centred(ops, &grouped, &over)?;
    let variance = ops.with_scalar("AddV2", &variance, norm.epsilon)?;
    let scale = ops.unary("Rsqrt", &variance)?;
    let mut output = ops.binary("Mul", &values, &scale)?;
    for (kind, weight) in [("Mul", &norm.gamma), ("AddV2", &norm.beta)] {
        if let Some(Tensor { values, .. }) = weight {
            let weight = ops.constant(&[norm.groups, each], values)?;
            output = ops.binary(kind, &output, &weight)?;
        }
    }

    let shape_before = ops.unary("Shape", &transposed)?;
    let output = ops.binary("Reshape", &output, &shape_before)?;
    if axis + 1 == axes {
        return Ok(output);
    }
    let back: Vec<usize> = (1..axis).chain([axes - 1]).chain(axis..axes - 1).collect();
    reshaping::permute(ops, &back, &output)
}
