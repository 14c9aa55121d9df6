//! Operations that move values without computing any.

use super::array::Array;
use crate::op::{PadMode, Range};

pub(super) fn transpose(order: &[usize], x: &Array, shape: &[usize]) -> Array {
    Array::from_fn(shape, |index| {
        let mut from = vec![0; index.len()];
        for (position, axis) in index.iter().zip(order) {
            from[*axis] = *position;
        }
        x.at(&from)
    })
}

pub(super) fn concatenate(axis: usize, inputs: &[&Array], shape: &[usize]) -> Array {
    Array::from_fn(shape, |index| {
        let mut from = index.to_vec();
        let mut input = 0;
        while from[axis] >= inputs[input].shape[axis] {
            from[axis] -= inputs[input].shape[axis];
            input += 1;
        }
        inputs[input].at(&from)
    })
}

pub(super) fn slice(ranges: &[Range], x: &Array, shape: &[usize]) -> Array {
    Array::from_fn(shape, |index| {
        let position = |axis: usize| {
            let steps = ranges[axis].of(x.shape[axis]);
            let moved = steps.step.unsigned_abs() as usize * index[axis];
            if steps.step > 0 { steps.start + moved } else { steps.start - moved }
        };
        x.at(&(0..index.len()).map(position).collect::<Vec<_>>())
    })
}

pub(super) fn pad(edges: &[[usize; 2]], mode: PadMode, x: &Array, shape: &[usize]) -> Array {
    Array::from_fn(shape, |index| {
        let position = |axis: usize| padded(mode, index[axis], edges[axis][0], x.shape[axis]);
        match ((0..index.len()).map(position).collect::<Option<Vec<_>>>(), mode) {
            (Some(from), _) => x.at(&from),
            (None, PadMode::Constant(value)) => f64::from(value),
            (None, PadMode::Reflect | PadMode::Symmetric) => unreachable!("a mirrored position is inside"),
        }
    })
}

/// The element of an axis of this size that a padded one shows at a position; none where a constant is.
fn padded(mode: PadMode, position: usize, before: usize, size: usize) -> Option<usize> {
    let last = before + size - 1;
    // 1 beside the axis.
    let (beyond, is_before) = if position < before {
        (before - position, true)
    } else if position > last {
        (position - last, false)
    } else {
        return Some(position - before);
    };
    let inwards = match mode {
        PadMode::Constant(_) => return None,
        PadMode::Reflect => beyond,
        PadMode::Symmetric => beyond - 1,
    };
    Some(if is_before { inwards } else { size - 1 - inwards })
}

pub(super) fn gather(axis: usize, indices: &[usize], x: &Array, shape: &[usize]) -> Array {
    Array::from_fn(shape, |index| {
        let mut from = index.to_vec();
        from[axis] = indices[index[axis]];
        x.at(&from)
    })
}

pub(super) fn space_to_depth(block: usize, x: &Array, shape: &[usize]) -> Array {
    let channels = x.shape[3];
    Array::from_fn(shape, |index| {
        let (pixel, channel) = (index[3] / channels, index[3] % channels);
        let (row, column) = (index[1] * block + pixel / block, index[2] * block + pixel % block);
        x.at(&[index[0], row, column, channel])
    })
}

pub(super) fn depth_to_space(block: usize, x: &Array, shape: &[usize]) -> Array {
    Array::from_fn(shape, |index| {
        let pixel = index[1] % block * block + index[2] % block;
        x.at(&[index[0], index[1] / block, index[2] / block, pixel * shape[3] + index[3]])
    })
}
