//! Operations on single values.

use tensorflow::{DataType, Output};

use super::arithmetic::operand;
use crate::ops::{Fault, Ops};
use keras::layers::{Choice, Comparison, ComparisonKind, Function};

pub(super) fn function(ops: &mut Ops, function: Function, input: &Output) -> Result<Output, Fault> {
    let kind = match function {
        Function::SquareRoot => "Sqrt",
        Function::InverseSquareRoot => "Rsqrt",
        Function::Square => "Square",
        Function::Absolute => "Abs",
        Function::Logarithm => "Log",
        Function::LogarithmOfMore => "Log1p",
        Function::ExponentialLess => "Expm1",
        Function::Reciprocal => "Reciprocal",
        Function::Sine => "Sin",
        Function::Cosine => "Cos",
        Function::Floor => "Floor",
        Function::Ceiling => "Ceil",
        Function::Round => "Round",
        Function::Sign => "Sign",
        Function::Erf => "Erf",
    };
    ops.unary(kind, input)
}

/// Numbers, so that whatever follows may compute with them.
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

pub(super) fn choice(ops: &mut Ops, by: &Choice, inputs: &[Output]) -> Result<Output, Fault> {
    let condition = operand(ops, &by.condition, inputs)?;
    let truth = ops.with_scalar("NotEqual", &condition, 0.0)?;
    let yes = operand(ops, &by.yes, inputs)?;
    let no = operand(ops, &by.no, inputs)?;
    ops.op("SelectV2", &[&truth, &yes, &no], &[])
}

pub(super) fn fill(ops: &mut Ops, value: f32, input: &Output) -> Result<Output, Fault> {
    let zeros = ops.unary("ZerosLike", input)?;
    if value == 0.0 { Ok(zeros) } else { ops.with_scalar("AddV2", &zeros, value) }
}
