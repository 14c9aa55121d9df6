//! Piecewise functions.

use tensorflow::Output;

use crate::ops::{Fault, Ops};

pub(super) fn clip(ops: &mut Ops, x: &Output, min: f32, max: f32) -> Result<Output, Fault> {
    let low = ops.with_scalar("Maximum", x, min)?;
    ops.with_scalar("Minimum", &low, max)
}

/// `x` where `x > threshold`, else `otherwise`.
pub(super) fn threshold(ops: &mut Ops, x: &Output, threshold: f32, otherwise: f32) -> Result<Output, Fault> {
    let above = ops.with_scalar("Greater", x, threshold)?;
    let otherwise = ops.constant(&[], &[otherwise])?;
    ops.op("SelectV2", &[&above, x, &otherwise], &[])
}

pub(super) fn hard_shrink(ops: &mut Ops, x: &Output, threshold: f32) -> Result<Output, Fault> {
    let size = ops.unary("Abs", x)?;
    let large = ops.with_scalar("Greater", &size, threshold)?;
    let none = ops.constant(&[], &[0.0])?;
    ops.op("SelectV2", &[&large, x, &none], &[])
}

pub(super) fn soft_shrink(ops: &mut Ops, x: &Output, threshold: f32) -> Result<Output, Fault> {
    let down = ops.with_scalar("Sub", x, threshold)?;
    let up = ops.with_scalar("AddV2", x, threshold)?;
    let above = ops.with_scalar("Greater", x, threshold)?;
    let below = ops.with_scalar("Less", x, -threshold)?;
    let none = ops.unary("ZerosLike", x)?;
    let rest = ops.op("SelectV2", &[&below, &up, &none], &[])?;
    ops.op("SelectV2", &[&above, &down, &rest], &[])
}

pub(super) fn sparse_plus(ops: &mut Ops, x: &Output) -> Result<Output, Fault> {
    let moved = ops.with_scalar("AddV2", x, 1.0)?;
    let square = ops.unary("Square", &moved)?;
    let curve = ops.with_scalar("Mul", &square, 0.25)?;
    let low = ops.with_scalar("LessEqual", x, -1.0)?;
    let middle = ops.with_scalar("Less", x, 1.0)?;
    let none = ops.unary("ZerosLike", x)?;
    let rest = ops.op("SelectV2", &[&middle, &curve, x], &[])?;
    ops.op("SelectV2", &[&low, &none, &rest], &[])
}

pub(super) fn sparse_sigmoid(ops: &mut Ops, x: &Output) -> Result<Output, Fault> {
    let moved = ops.with_scalar("AddV2", x, 1.0)?;
    let line = ops.with_scalar("Mul", &moved, 0.5)?;
    clip(ops, &line, 0.0, 1.0)
}
