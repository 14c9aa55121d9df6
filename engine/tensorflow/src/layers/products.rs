//! Einsums and matrix products.

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
    let [transpose_left, transpose_right] = by.transposed.map(Attribute::Bool);
    // Only `MatMul`, without a batch of matrices, fuses with what follows.
    if ops.sizes(&left)?.len() == 2 && ops.sizes(&right)?.len() == 2 {
        let attributes = [("transpose_a", transpose_left), ("transpose_b", transpose_right)];
        return ops.op("MatMul", &[&left, &right], &attributes);
    }
    ops.op("BatchMatMulV2", &[&left, &right], &[("adj_x", transpose_left), ("adj_y", transpose_right)])
}

/// An operand. A constant may be as large as the weights of a layer.
fn matrix(ops: &mut Ops, of: &Operand, inputs: &[Output]) -> Result<Output, Fault> {
    match of {
        Operand::Constant(tensor) => ops.matrix(tensor),
        Operand::Input(_) => operand(ops, of, inputs),
    }
}
