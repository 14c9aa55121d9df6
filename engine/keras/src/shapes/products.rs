//! Shapes of einsums and matrix products.

use std::collections::HashMap;

use super::{Shape, describe};
use crate::layers::{Einsum, MatrixProduct, Operand};

/// Equal subscripts have equal sizes.
pub(super) fn einsum(einsum: &Einsum, inputs: &[Shape]) -> Result<Shape, String> {
    let mut sizes: HashMap<char, Option<usize>> = HashMap::new();
    for (operand, letters) in einsum.operands.iter().zip(&einsum.equation.operands) {
        let shape = with_batch(operand, inputs)?;
        if shape.len() != letters.len() {
            return Err(format!(
                "its equation is {}, but an operand has shape {}",
                einsum.equation,
                describe(&shape)
            ));
        }
        for (letter, size) in letters.iter().zip(shape) {
            let known = sizes.entry(*letter).or_insert(size);
            if known.zip(size).is_some_and(|(one, other)| one != other) {
                return Err(format!("its equation is {}, but `{letter}` has two sizes", einsum.equation));
            }
            *known = known.or(size);
        }
    }
    let output = einsum.equation.output.iter().skip(1);
    Ok(output.map(|letter| sizes.get(letter).copied().flatten()).collect())
}

pub(super) fn of_matrices(product: &MatrixProduct, inputs: &[Shape]) -> Result<Shape, String> {
    let [transpose_left, transpose_right] = product.transposed;
    let left = transposed(with_batch(&product.left, inputs)?, transpose_left);
    let right = transposed(with_batch(&product.right, inputs)?, transpose_right);
    let misfit =
        || format!("its operands have shapes {} and {}, which do not fit", describe(&left), describe(&right));
    let ([left_outer @ .., rows, inner], [right_outer @ .., other_inner, columns]) = (&left[..], &right[..])
    else {
        return Err(misfit());
    };
    if inner.zip(*other_inner).is_some_and(|(inner, other)| inner != other) {
        return Err(misfit());
    }
    // The batch is the first axis of an input, and has to be the first axis of the product.
    let keeps_batch = match (&product.left, &product.right) {
        (Operand::Input(_), Operand::Input(_)) => left.len() == right.len() && left.len() >= 3,
        (Operand::Input(_), Operand::Constant(_)) => {
            let fewer_axes = right.len() < left.len() || (right.len() == 2 && left.len() == 2);
            fewer_axes && (left.len() >= 3 || !transpose_left)
        }
        (Operand::Constant(_), Operand::Input(_)) => right.len() >= 3 && left.len() < right.len(),
        (Operand::Constant(_), Operand::Constant(_)) => false,
    };
    if !keeps_batch {
        return Err(misfit());
    }
    let axes = left.len().max(right.len());
    let at = |outer: &[Option<usize>], axis: usize| match (axis + outer.len()).checked_sub(axes - 2) {
        Some(axis) => outer[axis],
        None => Some(1),
    };
    let mut result = Vec::with_capacity(axes);
    for axis in 0..axes - 2 {
        result.push(match (at(left_outer, axis), at(right_outer, axis)) {
            (Some(1), size) | (size, Some(1)) => size,
            (Some(one), Some(other)) if one != other => return Err(misfit()),
            (one, other) => one.or(other),
        });
    }
    result.extend([*rows, *columns]);
    Ok(result.split_off(1))
}

fn transposed(mut shape: Shape, transpose: bool) -> Shape {
    if let ([.., rows, columns], true) = (&mut shape[..], transpose) {
        std::mem::swap(rows, columns);
    }
    shape
}

fn with_batch(operand: &Operand, inputs: &[Shape]) -> Result<Shape, String> {
    match operand {
        Operand::Constant(tensor) => Ok(tensor.shape.iter().map(|&size| Some(size)).collect()),
        Operand::Input(index) => {
            let input = inputs.get(*index).ok_or("it is called on too few inputs")?;
            Ok(std::iter::once(None).chain(input.iter().copied()).collect())
        }
    }
}
