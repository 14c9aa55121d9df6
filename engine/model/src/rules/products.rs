//! Matrix products and einsums.

use std::collections::HashMap;

use super::{broadcast, misfit, mixes_images, wrong_count};
use crate::fault::Fault;
use crate::op::Equation;
use crate::shape::{Shape, Size};

/// `[…, rows, inner]` times `[…, inner, columns]`.
pub(super) fn of_matrices(transposed: [bool; 2], inputs: &[&Shape]) -> Result<Shape, Fault> {
    let [left, right] = inputs else { return Err(wrong_count(inputs, 2)) };
    let [left, right] = [swapped(left, transposed[0]), swapped(right, transposed[1])];
    let misfit = || misfit(&[&left, &right]);
    let ([left_outer @ .., rows, inner], [right_outer @ .., other_inner, columns]) = (&left[..], &right[..])
    else {
        return Err(misfit());
    };
    if inner.fitted(*other_inner).is_none_or(Size::is_batch) {
        return Err(misfit());
    }
    let mut result = broadcast(left_outer, right_outer).ok_or_else(misfit)?;
    result.extend([*rows, *columns]);
    // Where one operand has the batch among its outer axes, broadcasting may not put it on another axis.
    let moved = |outer: &[Size]| outer.len() + 2 < result.len() && outer.iter().any(|size| size.is_batch());
    if mixes_images(&result) || moved(left_outer) || moved(right_outer) {
        return Err(misfit());
    }
    Ok(Shape(result))
}

fn swapped(shape: &Shape, swap: bool) -> Shape {
    let mut shape = shape.clone();
    if let ([.., rows, columns], true) = (&mut shape.0[..], swap) {
        std::mem::swap(rows, columns);
    }
    shape
}

/// Equal subscripts have equal sizes.
pub(super) fn einsum(equation: &Equation, inputs: &[&Shape]) -> Result<Shape, Fault> {
    if inputs.len() != equation.operands.len() {
        return Err(wrong_count(inputs, equation.operands.len()));
    }
    let mut sizes: HashMap<char, Size> = HashMap::new();
    for (shape, letters) in inputs.iter().zip(&equation.operands) {
        if shape.len() != letters.len() {
            return Err(Fault(format!("its equation is {equation}, but an operand has shape {shape}")));
        }
        for (letter, size) in letters.iter().zip(shape.iter()) {
            let known = sizes.entry(*letter).or_insert(*size);
            *known = known
                .fitted(*size)
                .ok_or_else(|| Fault(format!("its equation is {equation}, but `{letter}` has two sizes")))?;
        }
    }
    if sizes.iter().any(|(letter, size)| size.is_batch() && !equation.output.contains(letter)) {
        return Err(Fault(format!("its equation is {equation}, which sums over the batch")));
    }
    let unknown =
        || Fault(format!("its equation is {equation}, whose output has a subscript that no operand has"));
    let output = equation.output.iter().map(|letter| sizes.get(letter).copied().ok_or_else(unknown));
    let output: Shape = output.collect::<Result<_, _>>()?;
    if mixes_images(&output) { Err(misfit(inputs)) } else { Ok(output) }
}
