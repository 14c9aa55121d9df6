//! Layers that keep every value and change the shape.

use tensorflow::Output;

use crate::ops::{Fault, Ops, to_i32};

pub(super) fn flatten(ops: &mut Ops, input: &Output) -> Result<Output, Fault> {
    let sizes: Option<Vec<usize>> = ops.sizes(input)?.into_iter().skip(1).collect();
    let elements = match sizes {
        Some(sizes) => to_i32(sizes.into_iter().product())?,
        None => -1,
    };
    ops.reshape(input, &[elements])
}

pub(super) fn reshape(ops: &mut Ops, target: &[i64], input: &Output) -> Result<Output, Fault> {
    let sizes: Option<Vec<usize>> = ops.sizes(input)?.into_iter().skip(1).collect();
    let is_open = target.contains(&-1);
    let given: usize = target.iter().filter_map(|size| usize::try_from(*size).ok()).product();
    let target = target
        .iter()
        .map(|size| match (usize::try_from(*size), &sizes) {
            (Ok(size), _) => to_i32(size),
            // Resolves -1, so that the layers after this one know their shapes.
            (Err(_), Some(sizes)) => to_i32(sizes.iter().product::<usize>() / given.max(1)),
            (Err(_), None) => Ok(-1),
        })
        .collect::<Result<Vec<_>, _>>()?;
    // Without a -1 the importer has made sure that no row joins two images. Parts of an image may be folded into the batch.
    if let Some(sizes) = sizes.filter(|_| is_open) {
        let elements: usize = sizes.iter().product();
        if target.iter().map(|size| i64::from(*size)).product::<i64>() != elements as i64 {
            return Err(Fault(format!("{elements} values of shape {sizes:?} do not fit {target:?}")));
        }
    }
    ops.reshape(input, &target)
}

pub(super) fn permute(ops: &mut Ops, axes: &[usize], input: &Output) -> Result<Output, Fault> {
    let order = std::iter::once(0).chain(axes.iter().copied()).map(to_i32).collect::<Result<Vec<_>, _>>()?;
    let order = ops.integers(&[order.len()], &order)?;
    ops.binary("Transpose", input, &order)
}
