//! Operations that move values without computing any.

use super::{own_axis, unlike};
use crate::fault::Fault;
use crate::op::{PadMode, Range};
use crate::shape::{Shape, Size};

/// Each image keeps its elements, and its rows of the batch stay together: the batch comes first before and after.
pub(super) fn reshaped(shape: &Shape, input: &Shape) -> Result<Shape, Fault> {
    let impossible = || {
        Fault(format!("its input has shape {}, which cannot become {}", input.described(), shape.described()))
    };
    let (is_open, was_open) = (shape.is_open(), input.is_open());
    let batch_leads = |shape: &Shape| match shape.iter().position(|size| size.is_batch()) {
        Some(axis) => axis == 0,
        None => false,
    };
    let has_batch = |shape: &Shape| shape.iter().any(|size| size.is_batch());
    // A sequence of open length that is folded into the batch leaves its first axis open.
    let folds = |shape: &Shape| shape.first() == Some(&Size::Open);
    let fits = match (has_batch(input), has_batch(shape)) {
        (false, false) => true,
        (true, true) => batch_leads(input) && batch_leads(shape),
        (true, false) => batch_leads(input) && folds(shape),
        (false, true) => batch_leads(shape) && folds(input),
    };
    if !fits {
        return Err(impossible());
    }
    match (input.elements(), shape.elements()) {
        (Some(before), Some(after)) if before == after => Ok(shape.clone()),
        (Some(_), Some(_)) => Err(impossible()),
        _ if is_open || was_open => Ok(shape.clone()),
        _ => Err(impossible()),
    }
}

pub(super) fn transposed(order: &[usize], input: &Shape) -> Result<Shape, Fault> {
    let mut sorted = order.to_vec();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..input.len()) {
        return Err(Fault(format!("its order of axes is {order:?}, expected every axis of {input} once")));
    }
    Ok(order.iter().map(|axis| input[*axis]).collect())
}

pub(super) fn concatenated(axis: usize, inputs: &[&Shape]) -> Result<Shape, Fault> {
    let Some((first, others)) = inputs.split_first() else {
        return Err("it is called on no inputs, expected at least 1".into());
    };
    own_axis(axis, first)?;
    let misfit = || unlike(inputs, &format!("equal sizes but for axis {axis}"));
    let mut result = (*first).clone();
    for other in others {
        if other.len() != result.len() {
            return Err(misfit());
        }
        for (index, size) in result.0.iter_mut().enumerate() {
            *size = if index == axis {
                match (*size, other[index]) {
                    (Size::Known(one), Size::Known(another)) => Size::Known(one.saturating_add(another)),
                    (Size::Batch(_), _) | (_, Size::Batch(_)) => return Err(misfit()),
                    (Size::Open, _) | (_, Size::Open) => Size::Open,
                }
            } else {
                size.fitted(other[index]).ok_or_else(misfit)?
            };
        }
    }
    Ok(result)
}

pub(super) fn sliced(ranges: &[Range], input: &Shape) -> Result<Shape, Fault> {
    if ranges.len() != input.len() {
        let expected = if ranges.len() > input.len() { "more axes" } else { "fewer axes" };
        return Err(Fault(format!("its input has shape {}, expected {expected}", input.described())));
    }
    let mut result = input.clone();
    for (axis, range) in ranges.iter().enumerate() {
        if *range == Range::WHOLE {
            continue;
        }
        if range.step == 0 {
            return Err("it takes elements in steps of 0, expected another number".into());
        }
        if let Size::Known(size) = own_axis(axis, input)? {
            let count = range.of(size).count;
            if count == 0 {
                return Err(Fault(format!("it takes nothing out of an axis of {}", input.described())));
            }
            result.0[axis] = Size::Known(count);
        }
    }
    Ok(result)
}

pub(super) fn padded(edges: &[[usize; 2]], mode: PadMode, input: &Shape) -> Result<Shape, Fault> {
    if edges.len() != input.len() {
        let axes = edges.len();
        return Err(Fault(format!("its input has shape {}, expected {axes} axes", input.described())));
    }
    // How much of an axis can be mirrored.
    let most = |size: usize| match mode {
        PadMode::Constant(_) => usize::MAX,
        PadMode::Reflect => size.saturating_sub(1),
        PadMode::Symmetric => size,
    };
    let mut result = input.clone();
    for (axis, [before, after]) in edges.iter().enumerate().filter(|(_, edges)| **edges != [0, 0]) {
        result.0[axis] = own_axis(axis, input)?.try_map(|size| {
            if (*before).max(*after) > most(size) {
                return Err(Fault(format!("it mirrors more than there is of an axis of {size}")));
            }
            let grown = size.checked_add(*before).and_then(|size| size.checked_add(*after));
            grown.ok_or_else(|| "its output is too large to be computed".into())
        })?;
    }
    Ok(result)
}

pub(super) fn gathered(axis: usize, indices: &[usize], input: &Shape) -> Result<Shape, Fault> {
    let size = own_axis(axis, input)?.known();
    if indices.is_empty() {
        return Err("it takes no elements, expected at least 1".into());
    }
    match size {
        Some(size) if indices.iter().all(|index| *index < size) => {
            Ok(input.with(axis, Size::Known(indices.len())))
        }
        Some(_) | None => {
            Err(Fault(format!("its input has shape {}, expected a larger one", input.described())))
        }
    }
}
