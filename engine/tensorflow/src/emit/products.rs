//! Matrix products and einsums.

use tensorflow::Output;

use super::{Operand, wrong_count};
use crate::ops::{Attribute, Fault, Ops};
use model::Equation;

pub(super) fn matrix_product(
    ops: &mut Ops,
    transposed: [bool; 2],
    operands: &[Operand<'_>],
) -> Result<Output, Fault> {
    let [left, right] = operands else { return Err(wrong_count(operands, 2)) };
    let [of_left, of_right] = transposed.map(Attribute::Bool);
    // Only `MatMul`, without a batch of matrices, fuses with bias and activation. The other product broadcasts.
    let (kind, attributes) = if left.shape.len() == 2 && right.shape.len() == 2 {
        ("MatMul", [("transpose_a", of_left), ("transpose_b", of_right)])
    } else {
        ("BatchMatMulV2", [("adj_x", of_left), ("adj_y", of_right)])
    };
    ops.op(kind, &[&left.output, &right.output], &attributes)
}

/// Adds a vector over the last axis of a product. TensorFlow fuses this operation with the product.
pub(super) fn bias(ops: &mut Ops, operands: &[Operand<'_>]) -> Result<Output, Fault> {
    let [product, bias] = operands else { return Err(wrong_count(operands, 2)) };
    ops.binary("BiasAdd", &product.output, &bias.output)
}

pub(super) fn einsum(ops: &mut Ops, by: &Equation, operands: &[Operand<'_>]) -> Result<Output, Fault> {
    let inputs: Vec<Output> = operands.iter().map(|operand| operand.output.clone()).collect();
    ops.einsum(&by.to_string(), &inputs)
}
