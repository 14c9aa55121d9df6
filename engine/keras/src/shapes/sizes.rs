//! Shapes of resized images, group normalization, layers over several axes and locally connected layers; and the largest
//! output.

use super::{Shape, axis_after_batch, describe, image};
use crate::layers::{GroupNorm, LocallyConnected2d};

/// Most elements of an output per image: 8 GiB.
const MAX_ELEMENTS: usize = 1 << 31;

/// Fails for a shape that is too large for any machine.
pub(super) fn check(output: &Shape) -> Result<(), String> {
    let known = output.iter().flatten();
    let elements = known.copied().try_fold(1_usize, |product, size| product.checked_mul(size));
    match elements.filter(|elements| *elements <= MAX_ELEMENTS) {
        Some(_) => Ok(()),
        None => Err(format!("its output of shape {} is too large to be computed", describe(output))),
    }
}

pub(super) fn resized(size: [usize; 2], input: &Shape) -> Result<Shape, String> {
    let [_, _, channels] = image(input)?;
    Ok(vec![Some(size[0]), Some(size[1]), channels])
}

/// The shape of a layer over these axes, which it keeps.
pub(super) fn over(axes: &[usize], input: &Shape) -> Result<Shape, String> {
    match axes.iter().find(|axis| **axis >= input.len()) {
        None => Ok(input.clone()),
        Some(_) => Err(format!("its input has shape {}, expected more axes", describe(input))),
    }
}

pub(super) fn divided_into_groups(norm: &GroupNorm, input: &Shape) -> Result<Shape, String> {
    let axis = axis_after_batch(norm.axis, input)?;
    let weights = [&norm.gamma, &norm.beta];
    let expected = weights.into_iter().flatten().map(|weight| weight.shape[0]).next();
    let fits =
        |size: usize| size.is_multiple_of(norm.groups) && expected.is_none_or(|expected| expected == size);
    if input[axis].is_some_and(fits) {
        return Ok(input.clone());
    }
    let groups = norm.groups;
    Err(format!(
        "its input has shape {}, expected one whose axis {axis} has {groups} groups",
        describe(input)
    ))
}

pub(super) fn locally_connected(layer: &LocallyConnected2d, input: &Shape) -> Result<Shape, String> {
    let [height, width, channels] = image(input)?;
    let [rows, columns] = layer.input;
    let seen = channels.and_then(|channels| channels.checked_mul(layer.size[0] * layer.size[1]));
    if (height, width, seen) != (Some(rows), Some(columns), Some(layer.kernel.shape[1])) {
        return Err(format!("its input has shape {}, expected {rows} by {columns} pixels", describe(input)));
    }
    Ok(vec![Some(layer.output[0]), Some(layer.output[1]), Some(layer.kernel.shape[2])])
}
