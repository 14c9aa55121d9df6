//! Shapes of what operations compute.

use super::{Shape, axis_after_batch, describe};
use crate::layers::{Operand, Part, Reduction};

/// All operands broadcast as in NumPy; none may change the batch.
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
    // The batch is the first axis of every input, so that these have equally many.
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
                // Only an input's batch is unknown on axis 0, and no constant knows it.
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

pub(super) fn sliced(parts: &[Part], input: &Shape) -> Result<Shape, String> {
    let mut sizes = input.iter();
    let mut result = Shape::new();
    for part in parts {
        if *part == Part::NewAxis {
            result.push(Some(1));
            continue;
        }
        let size = *sizes
            .next()
            .ok_or_else(|| format!("its input has shape {}, expected more axes", describe(input)))?;
        match *part {
            Part::At(index) => {
                let outside = |size: &usize| {
                    let size = i64::try_from(*size).unwrap_or(i64::MAX);
                    index >= size || index < -size
                };
                if size.as_ref().is_some_and(outside) {
                    return Err(format!("it takes element {index} out of an axis of {}", describe(input)));
                }
            }
            Part::Range { start, stop, step } => {
                let length = size.map(|size| range_length(size, start, stop, step));
                if length == Some(0) {
                    return Err(format!("it takes nothing out of an axis of {}", describe(input)));
                }
                // What is taken of an axis of any size has any size.
                result.push(length);
            }
            Part::NewAxis => {}
        }
    }
    if sizes.next().is_some() {
        return Err(format!("its input has shape {}, expected fewer axes", describe(input)));
    }
    Ok(result)
}

/// How many elements `start:stop:step` takes, with Python's rules.
fn range_length(size: usize, start: Option<i64>, stop: Option<i64>, step: i64) -> usize {
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    let (lowest, highest) = if step > 0 { (0, size) } else { (-1, size - 1) };
    let bound =
        |bound: i64| if bound < 0 { bound.saturating_add(size) } else { bound }.clamp(lowest, highest);
    let (first, end) = if step > 0 { (lowest, highest) } else { (highest, lowest) };
    let start = start.map_or(first, bound);
    let stop = stop.map_or(end, bound);
    let distance = if step > 0 { stop - start } else { start - stop };
    let step = usize::try_from(step.unsigned_abs()).unwrap_or(usize::MAX);
    usize::try_from(distance).map_or(0, |distance| distance.div_ceil(step))
}

/// Equal shapes, and a new axis between two of theirs.
pub(super) fn stacked(axis: i64, inputs: &[Shape]) -> Result<Shape, String> {
    let Some((first, others)) = inputs.split_first() else {
        return Err("it is called on no inputs, expected at least 1".to_owned());
    };
    if let Some(other) = others.iter().find(|other| *other != first) {
        return Err(format!(
            "its inputs have shapes {} and {}, expected the same",
            describe(first),
            describe(other)
        ));
    }
    let mut result = first.clone();
    result.push(None);
    let axis = axis_after_batch(axis, &result)?;
    result.pop();
    result.insert(axis, Some(inputs.len()));
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::range_length;

    #[test]
    fn ranges_are_as_long_as_in_python() {
        let check = |size, start, stop, step, expected| {
            assert_eq!(range_length(size, start, stop, step), expected, "{size} {start:?}:{stop:?}:{step}");
        };
        // As `len(range(size)[start:stop:step])` says.
        check(5, None, None, 1, 5);
        check(5, None, None, -1, 5);
        check(5, None, None, 2, 3);
        check(5, None, None, -2, 3);
        check(5, Some(1), Some(-1), 1, 3);
        check(5, Some(-2), None, 1, 2);
        check(5, Some(-9), Some(9), 1, 5);
        check(5, Some(3), Some(3), 1, 0);
        check(5, Some(4), Some(1), 1, 0);
        check(5, Some(9), Some(0), -1, 4);
        check(5, Some(2), None, -1, 3);
    }
}
