//! Shapes of layers that merge several inputs.

use super::{Shape, axis_after_batch, describe};
use crate::layers::Dot;

/// The broadcast shape. Inputs with fewer axes get more of them, of size 1 after the batch.
pub(super) fn merged(inputs: &[Shape]) -> Result<Shape, String> {
    let all = || inputs.iter().map(|shape| describe(shape)).collect::<Vec<_>>().join(" and ");
    let Some((first, others)) = inputs.split_first() else {
        return Err("it is called on no inputs, expected at least 1".to_owned());
    };
    let axes = inputs.iter().map(Vec::len).max().unwrap_or(0);
    let widened = |shape: &Shape| {
        let more = std::iter::repeat_n(Some(1), axes - shape.len());
        more.chain(shape.iter().copied()).collect::<Shape>()
    };
    let mut result = widened(first);
    for other in others {
        let other = widened(other);
        for (size, more) in result.iter_mut().zip(other) {
            *size = match (*size, more) {
                (Some(1), more) => more,
                (size, Some(1)) => size,
                (Some(one), Some(another)) if one != another => {
                    return Err(format!("its inputs have shapes {}, expected equal sizes", all()));
                }
                (known, None) | (None, known) => known,
                (known, Some(_)) => known,
            };
        }
    }
    Ok(result)
}

pub(super) fn concatenated(axis: i64, inputs: &[Shape]) -> Result<Shape, String> {
    let Some((first, others)) = inputs.split_first() else {
        return Err("it is called on no inputs, expected at least 1".to_owned());
    };
    let axis = axis_after_batch(axis, first)?;
    let mut result = first.clone();
    for other in others {
        let fits = |index: usize| match (result[index], other[index]) {
            (Some(one), Some(another)) => index == axis || one == another,
            (None, _) | (_, None) => true,
        };
        if other.len() != first.len() || !(0..first.len()).all(fits) {
            let all: Vec<String> = inputs.iter().map(|shape| describe(shape)).collect();
            let all = all.join(" and ");
            return Err(format!("its inputs have shapes {all}, expected equal sizes but for axis {axis}"));
        }
        for index in 0..first.len() {
            result[index] = match (result[index], other[index]) {
                (Some(one), Some(another)) if index == axis => Some(one.saturating_add(another)),
                (_, _) if index == axis => None,
                (one, another) => one.or(another),
            };
        }
    }
    Ok(result)
}

/// The remaining axes of both inputs, one after the other. Two vectors give a single number.
pub(super) fn dot(dot: &Dot, inputs: &[Shape]) -> Result<Shape, String> {
    let [left, right] = inputs else {
        return Err(format!("it is called on {} inputs, expected 2", inputs.len()));
    };
    let axes = [axis_after_batch(dot.axes[0], left)?, axis_after_batch(dot.axes[1], right)?];
    let (mut result, mut rest) = (left.clone(), right.clone());
    if let (Some(one), Some(another)) = (result.remove(axes[0]), rest.remove(axes[1]))
        && one != another
    {
        return Err(format!(
            "its inputs have shapes {} and {}, expected equal sizes on the axes {:?}",
            describe(left),
            describe(right),
            dot.axes
        ));
    }
    result.extend(rest);
    if result.is_empty() {
        result.push(Some(1));
    }
    Ok(result)
}
