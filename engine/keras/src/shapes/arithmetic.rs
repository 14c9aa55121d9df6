//! Shapes of operations on operands that broadcast, and of reductions.

use super::{Shape, describe};
use crate::layers::{Operand, Reduction};

/// The broadcast shape of operands, as in NumPy. No constant may change the batch.
pub(super) fn combined(operands: &[&Operand], inputs: &[Shape]) -> Result<Shape, String> {
    let operand = |operand: &&Operand| -> Result<Vec<Option<usize>>, String> {
        match operand {
            Operand::Constant(tensor) => Ok(tensor.shape.iter().map(|&size| Some(size)).collect()),
            Operand::Input(index) => {
                let input = inputs.get(*index).ok_or("it is called on too few inputs")?;
                Ok(std::iter::once(None).chain(input.iter().copied()).collect())
            }
        }
    };
    let shapes: Vec<Vec<Option<usize>>> = operands.iter().map(operand).collect::<Result<_, _>>()?;
    let misfit = || {
        let shapes: Vec<String> = shapes.iter().map(|shape| describe(shape)).collect();
        format!("its operands have shapes {}, which do not fit", shapes.join(" and "))
    };
    // All inputs need equally many axes, since the batch is the first axis of each.
    let axes = inputs.iter().map(|input| input.len() + 1).max().unwrap_or(0);
    let fits = |(operand, shape): (&&Operand, &Vec<Option<usize>>)| match operand {
        Operand::Input(_) => shape.len() == axes,
        Operand::Constant(_) => shape.len() <= axes,
    };
    if !operands.iter().zip(&shapes).all(fits) {
        return Err(misfit());
    }
    let mut result = vec![Some(1); axes];
    for (operand, shape) in operands.iter().zip(&shapes) {
        for (axis, &size) in shape.iter().enumerate() {
            let axis = axis + axes - shape.len();
            result[axis] = match (result[axis], size) {
                // The batch is unknown, and a constant has to broadcast over it.
                (_, size) if axis == 0 && matches!(operand, Operand::Constant(_)) && size != Some(1) => {
                    return Err(misfit());
                }
                (Some(1), size) | (size, Some(1)) => size,
                (Some(one), Some(other)) if one != other => return Err(misfit()),
                (one, other) => one.or(other),
            };
        }
    }
    Ok(result.split_off(1.min(axes)))
}

pub(super) fn reduced(reduction: &Reduction, input: &Shape) -> Result<Shape, String> {
    if reduction.axes.iter().any(|&axis| axis >= input.len()) {
        return Err(format!("its input has shape {}, expected more axes", describe(input)));
    }
    let sizes = input.iter().enumerate().filter_map(|(axis, &size)| {
        match (reduction.axes.contains(&axis), reduction.keep_dims) {
            (true, true) => Some(Some(1)),
            (true, false) => None,
            (false, _) => Some(size),
        }
    });
    Ok(sizes.collect())
}
