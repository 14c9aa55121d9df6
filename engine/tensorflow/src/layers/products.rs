//! Sums of products.

use tensorflow::Output;

use super::arithmetic::operand;
use crate::ops::{Attribute, Fault, Ops};
use keras::layers::{Einsum, MatrixProduct, Operand};

pub(super) fn einsum(ops: &mut Ops, by: &Einsum, inputs: &[Output]) -> Result<Output, Fault> {
    let mut operands = Vec::with_capacity(by.operands.len());
    for operand in &by.operands {
        operands.push(matrix(ops, operand, inputs)?);
    }
    ops.einsum(&by.equation.to_string(), &operands)
}

pub(super) fn matrix_product(ops: &mut Ops, by: &MatrixProduct, inputs: &[Output]) -> Result<Output, Fault> {
    let left = matrix(ops, &by.left, inputs)?;
    let right = matrix(ops, &by.right, inputs)?;
    let [left_turned, right_turned] = by.transposed.map(Attribute::Bool);
    // The one without a batch of matrices is the one that fuses with what follows.
    if ops.sizes(&left)?.len() == 2 && ops.sizes(&right)?.len() == 2 {
        let turned = [("transpose_a", left_turned), ("transpose_b", right_turned)];
        return ops.op("MatMul", &[&left, &right], &turned);
    }
    ops.op("BatchMatMulV2", &[&left, &right], &[("adj_x", left_turned), ("adj_y", right_turned)])
}

/// A constant may be as large as the weights of a layer.
fn matrix(ops: &mut Ops, of: &Operand, inputs: &[Output]) -> Result<Output, Fault> {
    match of {
        Operand::Constant(tensor) => ops.matrix(tensor),
        Operand::Input(_) => operand(ops, of, inputs),
    }
}
