//! Elementwise arithmetic with two operands, and reductions.

use tensorflow::Output;

use crate::ops::{Attribute, Fault, Ops, to_i32};
use keras::layers::{Arithmetic, ArithmeticKind, Operand, Reduction, ReductionKind};

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
        ArithmeticKind::SquaredDifference => "SquaredDifference",
    };
    ops.binary(kind, &left, &right)
}

pub(super) fn operand(ops: &mut Ops, operand: &Operand, inputs: &[Output]) -> Result<Output, Fault> {
    match operand {
        Operand::Input(index) => {
            inputs.get(*index).cloned().ok_or_else(|| Fault(format!("it has no input {index}")))
        }
        Operand::Constant(tensor) => ops.weights(tensor),
    }
}

pub(super) fn reduction(ops: &mut Ops, by: &Reduction, input: &Output) -> Result<Output, Fault> {
    if by.axes.is_empty() {
        return Ok(input.clone());
    }
    let axes = by.axes.iter().map(|axis| to_i32(axis + 1)).collect::<Result<Vec<i32>, _>>()?;
    let over = Over { axes: ops.integers(&[axes.len()], &axes)?, keep_dims: by.keep_dims };
    match by.kind {
        ReductionKind::Mean => over.reduced(ops, "Mean", input),
        ReductionKind::Sum => over.reduced(ops, "Sum", input),
        ReductionKind::Max => over.reduced(ops, "Max", input),
        ReductionKind::Min => over.reduced(ops, "Min", input),
        ReductionKind::Product => over.reduced(ops, "Prod", input),
        ReductionKind::Variance => over.variance(ops, input),
        ReductionKind::Std => {
            let variance = over.variance(ops, input)?;
            ops.unary("Sqrt", &variance)
        }
        ReductionKind::EuclideanNorm => {
            let squares = ops.unary("Square", input)?;
            let sum = over.reduced(ops, "Sum", &squares)?;
            ops.unary("Sqrt", &sum)
        }
        ReductionKind::LogSumExp => over.log_sum_exp(ops, input),
    }
}

/// The axes that are reduced.
struct Over {
    axes: Output,
    keep_dims: bool,
}

impl Over {
    fn reduced(&self, ops: &mut Ops, kind: &str, input: &Output) -> Result<Output, Fault> {
        ops.op(kind, &[input, &self.axes], &[("keep_dims", Attribute::Bool(self.keep_dims))])
    }

    fn with_axes_kept(&self) -> Self {
        Self { axes: self.axes.clone(), keep_dims: true }
    }

    fn variance(&self, ops: &mut Ops, input: &Output) -> Result<Output, Fault> {
        let mean = self.with_axes_kept().reduced(ops, "Mean", input)?;
        let squares = ops.binary("SquaredDifference", input, &mean)?;
        self.reduced(ops, "Mean", &squares)
    }

    /// Subtracts the maximum first and adds it back at the end, so that no exponential overflows.
    fn log_sum_exp(&self, ops: &mut Ops, input: &Output) -> Result<Output, Fault> {
        let largest = self.with_axes_kept().reduced(ops, "Max", input)?;
        let lowered = ops.binary("Sub", input, &largest)?;
        let exponentials = ops.unary("Exp", &lowered)?;
        let sum = self.reduced(ops, "Sum", &exponentials)?;
        let logarithm = ops.unary("Log", &sum)?;
        let largest = self.reduced(ops, "Max", input)?;
        ops.binary("AddV2", &logarithm, &largest)
    }
}
