//! Operations that move values.

use tensorflow::Output;

use super::{over_image, padding};
use crate::ops::{Attribute, Fault, Ops, to_i32};
use keras::layers::{Blocks, Gather, Pad, PadMode, Patches};

pub(super) fn gather(ops: &mut Ops, by: &Gather, input: &Output) -> Result<Output, Fault> {
    let places = by.places.iter().map(|place| to_i32(*place)).collect::<Result<Vec<_>, _>>()?;
    let places = ops.integers(&[places.len()], &places)?;
    let axis = ops.integers(&[], &[to_i32(by.axis + 1)?])?;
    ops.op("GatherV2", &[input, &places, &axis], &[])
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

pub(super) fn blocks(ops: &mut Ops, blocks: Blocks, input: &Output) -> Result<Output, Fault> {
    let (kind, side) = match blocks {
        Blocks::IntoChannels(side) => ("SpaceToDepth", side),
        Blocks::OutOfChannels(side) => ("DepthToSpace", side),
    };
    let side = i64::from(to_i32(side)?);
    ops.op(kind, &[input], &[("block_size", Attribute::Integer(side))])
}
