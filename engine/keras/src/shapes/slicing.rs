//! Shapes of slices and stacks.

use super::{Shape, axis_after_batch, describe};
use crate::layers::Part;

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
                // A slice of an axis of unknown size has an unknown size.
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

/// The number of elements of `start:stop:step`, with Python's rules.
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

/// The shape of the inputs, which are equal, with a new axis.
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
