//! Operations that models compute without a layer, element by element or over axes.

use tensorflow::Output;

use crate::keras::layers::{Arithmetic, ArithmeticKind, Operand, Reduction, ReductionKind};
use crate::tensorflow::ops::{Attribute, Fault, Ops, to_i32};

pub(super) fn arithmetic(ops: &mut Ops, by: &Arithmetic, inputs: &[Output]) -> Result<Output, Fault> {
    let left = operand(ops, &by.left, inputs)?;
    let right = operand(ops, &by.right, inputs)?;
    let kind = match by.kind {
        ArithmeticKind::Add => "AddV2",
        ArithmeticKind::Subtract => "Sub",
        ArithmeticKind::Multiply => "Mul",
        ArithmeticKind::Divide => "RealDiv",
        ArithmeticKind::Power => "Pow",
        ArithmeticKind::Maximum => "Maximum",
        ArithmeticKind::Minimum => "Minimum",
    };
    ops.binary(kind, &left, &right)
}

fn operand(ops: &mut Ops, operand: &Operand, inputs: &[Output]) -> Result<Output, Fault> {
    match operand {
        Operand::Input(index) => {
            inputs.get(*index).cloned().ok_or_else(|| Fault(format!("it has no input {index}")))
        }
        Operand::Constant(tensor) => ops.weights(tensor),
    }
}

pub(super) fn scaled_add(ops: &mut Ops, scale: f32, inputs: &[Output]) -> Result<Output, Fault> {
    let [first, second] = inputs else {
        return Err(Fault(format!("it has {} inputs, expected 2", inputs.len())));
    };
    let scaled = ops.with_scalar("Mul", second, scale)?;
    ops.binary("AddV2", first, &scaled)
}

pub(super) fn reduction(ops: &mut Ops, by: &Reduction, input: &Output) -> Result<Output, Fault> {
    if by.axes.is_empty() {
        return Ok(input.clone());
    }
    let axes = by.axes.iter().map(|axis| to_i32(axis + 1)).collect::<Result<Vec<i32>, _>>()?;
    let axes = ops.integers(&[axes.len()], &axes)?;
    let kind = match by.kind {
        ReductionKind::Mean => "Mean",
        ReductionKind::Sum => "Sum",
        ReductionKind::Max => "Max",
        ReductionKind::Min => "Min",
    };
    ops.op(kind, &[input, &axes], &[("keep_dims", Attribute::Bool(by.keep_dims))])
}
