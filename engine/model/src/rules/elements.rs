//! Functions of elements, reductions, and what works along an axis.

use super::{broadcast, misfit, mixes_images, own_axis, wrong_count};
use crate::fault::Fault;
use crate::op::{BatchNorm, Reduce};
use crate::shape::{Shape, Size};

/// The shape that these operands broadcast to. A constant may not have more axes than a batched value: broadcasting
/// would move the batch to another axis.
pub(super) fn combined(inputs: &[&Shape], count: usize) -> Result<Shape, Fault> {
    if inputs.len() != count {
        return Err(wrong_count(inputs, count));
    }
    let mut result = Vec::new();
    for input in inputs {
        result = broadcast(&result, input).ok_or_else(|| misfit(inputs))?;
    }
    let moves = |input: &&Shape| input.len() < result.len() && input.iter().any(|size| size.is_batch());
    if mixes_images(&result) || inputs.iter().any(moves) {
        return Err(misfit(inputs));
    }
    Ok(Shape(result))
}

pub(super) fn reduced(reduce: &Reduce, input: &Shape) -> Result<Shape, Fault> {
    if !reduce.axes.is_sorted_by(|one, next| one < next) {
        return Err(Fault(format!("`axis` is {:?}, expected axes of its input, each once", reduce.axes)));
    }
    for axis in &reduce.axes {
        own_axis(*axis, input)?;
    }
    let sizes = input.iter().enumerate().filter_map(|(axis, size)| {
        match (reduce.axes.contains(&axis), reduce.keeps_axes) {
            (true, true) => Some(Size::Known(1)),
            (true, false) => None,
            (false, _) => Some(*size),
        }
    });
    Ok(sizes.collect())
}

pub(super) fn sorted(axis: usize, input: &Shape) -> Result<Shape, Fault> {
    match own_axis(axis, input)? {
        Size::Known(_) => Ok(input.clone()),
        Size::Open | Size::Batch(_) => Err(Fault(format!(
            "its input has shape {}, expected a fixed size on axis {axis}",
            input.described()
        ))),
    }
}

pub(super) fn batch_norm(norm: &BatchNorm, input: &Shape) -> Result<Shape, Fault> {
    let expected = match norm.mean.shape[..] {
        [size] => size,
        _ => return Err(Fault(format!("its mean has shape {:?}, expected one axis", norm.mean.shape))),
    };
    let others = [Some(&norm.variance), norm.gamma.as_ref(), norm.beta.as_ref()];
    if others.into_iter().flatten().any(|weight| weight.shape != norm.mean.shape) {
        return Err(Fault(format!("its weights differ in length, expected {expected} values in each")));
    }
    let size = own_axis(norm.axis, input)?;
    if size.known().is_some_and(|size| size != expected) {
        return Err(Fault(format!(
            "its input has shape {}, expected {expected} on axis {}",
            input.described(),
            norm.axis
        )));
    }
    Ok(input.clone())
}
