//! Functions of elements.

use tensorflow::{DataType, Output};

use super::{Operand, wrong_count};
use crate::ops::{Attribute, Fault, Ops, type_of};
use model::{Binary, Comparison, Unary};

pub(super) fn unary(ops: &mut Ops, function: Unary, input: &Operand<'_>) -> Result<Output, Fault> {
    let kind = match function {
        Unary::LeakyRelu { slope } => {
            return ops.op("LeakyRelu", &[&input.output], &[("alpha", Attribute::Float(slope))]);
        }
        Unary::Relu => "Relu",
        Unary::Relu6 => "Relu6",
        Unary::Elu => "Elu",
        Unary::Selu => "Selu",
        Unary::Sigmoid => "Sigmoid",
        Unary::Tanh => "Tanh",
        Unary::Softplus => "Softplus",
        Unary::Softsign => "Softsign",
        Unary::Erf => "Erf",
        Unary::Exp => "Exp",
        Unary::Expm1 => "Expm1",
        Unary::Log => "Log",
        Unary::Log1p => "Log1p",
        Unary::Sqrt => "Sqrt",
        Unary::Rsqrt => "Rsqrt",
        Unary::Square => "Square",
        Unary::Abs => "Abs",
        Unary::Negate => "Neg",
        Unary::Reciprocal => "Reciprocal",
        Unary::Sin => "Sin",
        Unary::Cos => "Cos",
        Unary::Floor => "Floor",
        Unary::Ceil => "Ceil",
        Unary::Round => "Round",
        Unary::Sign => "Sign",
        Unary::IsNan => "IsNan",
    };
    ops.unary(kind, &input.output)
}

pub(super) fn binary(ops: &mut Ops, function: Binary, operands: &[Operand<'_>]) -> Result<Output, Fault> {
    let kind = match function {
        Binary::Add => "AddV2",
        Binary::Subtract => "Sub",
        Binary::Multiply => "Mul",
        Binary::Divide => "RealDiv",
        Binary::Power => "Pow",
        Binary::Maximum => "Maximum",
        Binary::Minimum => "Minimum",
        Binary::SquaredDifference => "SquaredDifference",
    };
    of_two(ops, kind, operands)
}

/// Gives truth values. Whatever computes with them casts them.
pub(super) fn compare(ops: &mut Ops, by: Comparison, operands: &[Operand<'_>]) -> Result<Output, Fault> {
    let kind = match by {
        Comparison::Greater => "Greater",
        Comparison::GreaterEqual => "GreaterEqual",
        Comparison::Less => "Less",
        Comparison::LessEqual => "LessEqual",
        Comparison::Equal => "Equal",
        Comparison::NotEqual => "NotEqual",
    };
    of_two(ops, kind, operands)
}

fn of_two(ops: &mut Ops, kind: &str, operands: &[Operand<'_>]) -> Result<Output, Fault> {
    let [left, right] = operands else { return Err(wrong_count(operands, 2)) };
    ops.binary(kind, &left.output, &right.output)
}

pub(super) fn select(ops: &mut Ops, operands: &[Operand<'_>]) -> Result<Output, Fault> {
    let [condition, x, otherwise] = operands else { return Err(wrong_count(operands, 3)) };
    let truth = if type_of(&condition.output) == DataType::Bool {
        condition.output.clone()
    } else {
        ops.with_scalar("NotEqual", &condition.output, 0.0)?
    };
    ops.op("SelectV2", &[&truth, &x.output, &otherwise.output], &[])
}

pub(super) fn full_like(ops: &mut Ops, value: f32, input: &Operand<'_>) -> Result<Output, Fault> {
    let zeros = ops.unary("ZerosLike", &input.output)?;
    if value == 0.0 { Ok(zeros) } else { ops.with_scalar("AddV2", &zeros, value) }
}
