//! Elementwise operations.

use tensorflow::{DataType, Output};

use super::arithmetic::operand;
use crate::ops::{Fault, Ops};
use keras::layers::{Comparison, ComparisonKind, Function, Select};

pub(super) fn function(ops: &mut Ops, function: Function, input: &Output) -> Result<Output, Fault> {
    let kind = match function {
        Function::Sqrt => "Sqrt",
        Function::Rsqrt => "Rsqrt",
        Function::Square => "Square",
        Function::Abs => "Abs",
        Function::Log => "Log",
        Function::Log1p => "Log1p",
        Function::Expm1 => "Expm1",
        Function::Reciprocal => "Reciprocal",
        Function::Sin => "Sin",
        Function::Cos => "Cos",
        Function::Floor => "Floor",
        Function::Ceil => "Ceil",
        Function::Round => "Round",
        Function::Sign => "Sign",
        Function::Erf => "Erf",
    };
    ops.unary(kind, input)
}

/// Gives numbers, so that whatever follows may compute with them.
pub(super) fn comparison(ops: &mut Ops, by: &Comparison, inputs: &[Output]) -> Result<Output, Fault> {
    let left = operand(ops, &by.left, inputs)?;
    let right = operand(ops, &by.right, inputs)?;
    let kind = match by.kind {
        ComparisonKind::Greater => "Greater",
        ComparisonKind::GreaterEqual => "GreaterEqual",
        ComparisonKind::Less => "Less",
        ComparisonKind::LessEqual => "LessEqual",
    };
    let truth = ops.binary(kind, &left, &right)?;
    ops.cast(&truth, DataType::Float)
}

pub(super) fn select(ops: &mut Ops, by: &Select, inputs: &[Output]) -> Result<Output, Fault> {
    let condition = operand(ops, &by.condition, inputs)?;
    let truth = ops.with_scalar("NotEqual", &condition, 0.0)?;
    let x1 = operand(ops, &by.x1, inputs)?;
    let x2 = operand(ops, &by.x2, inputs)?;
    ops.op("SelectV2", &[&truth, &x1, &x2], &[])
}

pub(super) fn full_like(ops: &mut Ops, value: f32, input: &Output) -> Result<Output, Fault> {
    let zeros = ops.unary("ZerosLike", input)?;
    if value == 0.0 { Ok(zeros) } else { ops.with_scalar("AddV2", &zeros, value) }
}
