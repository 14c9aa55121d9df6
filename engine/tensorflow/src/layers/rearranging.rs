//! Operations that move values without computing any.

use tensorflow::Output;

use super::{over_image, padding};
use crate::ops::{Attribute, Fault, Ops, to_i32};
use keras::layers::{Gather, Pad, PadMode, Patches};

pub(super) fn gather(ops: &mut Ops, by: &Gather, input: &Output) -> Result<Output, Fault> {
    let indices = by.indices.iter().map(|index| to_i32(*index)).collect::<Result<Vec<_>, _>>()?;
    let indices = ops.integers(&[indices.len()], &indices)?;
    let axis = ops.integers(&[], &[to_i32(by.axis + 1)?])?;
    ops.op("GatherV2", &[input, &indices, &axis], &[])
}

pub(super) fn pad(ops: &mut Ops, by: &Pad, input: &Output) -> Result<Output, Fault> {
    let sides = [0, 0].into_iter().chain(by.sides.iter().flatten().copied());
    let sides = sides.map(to_i32).collect::<Result<Vec<_>, _>>()?;
    let sides = ops.integers(&[sides.len() / 2, 2], &sides)?;
    let mirrored = match by.mode {
        PadMode::Constant(value) => {
            let value = ops.constant(&[], &[value])?;
            return ops.op("PadV2", &[input, &sides, &value], &[]);
        }
        PadMode::Reflect => "REFLECT",
        PadMode::Symmetric => "SYMMETRIC",
    };
    ops.op("MirrorPad", &[input, &sides], &[("mode", Attribute::Text(mirrored))])
}

pub(super) fn patches(ops: &mut Ops, by: &Patches, input: &Output) -> Result<Output, Fault> {
    ops.op(
        "ExtractImagePatches",
        &[input],
        &[
            ("ksizes", Attribute::Integers(&over_image(by.size))),
            ("strides", Attribute::Integers(&over_image(by.strides))),
            ("rates", Attribute::Integers(&over_image(by.dilation))),
            ("padding", Attribute::Text(padding(by.padding))),
        ],
    )
}

pub(super) fn space_to_depth(ops: &mut Ops, block_size: usize, input: &Output) -> Result<Output, Fault> {
    in_blocks(ops, "SpaceToDepth", block_size, input)
}

pub(super) fn depth_to_space(ops: &mut Ops, block_size: usize, input: &Output) -> Result<Output, Fault> {
    in_blocks(ops, "DepthToSpace", block_size, input)
}

fn in_blocks(ops: &mut Ops, kind: &str, block_size: usize, input: &Output) -> Result<Output, Fault> {
    let block_size = i64::from(to_i32(block_size)?);
    ops.op(kind, &[input], &[("block_size", Attribute::Integer(block_size))])
}
