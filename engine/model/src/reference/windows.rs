//! What windows see of an image.

use super::array::Array;
use super::functions::maximum;
use crate::op::PoolKind;
use crate::window::Window;

/// Where a window sees: the position on an axis of this length that the window at `index` has as its own number `step`;
/// none beyond the axis.
pub(super) fn position(window: Window, index: usize, step: usize, length: usize) -> Option<usize> {
    let [before, _] = window.beyond(length);
    let moved = index * window.stride + step * window.dilation;
    moved.checked_sub(before).filter(|position| *position < length)
}

pub(super) fn pool(kind: PoolKind, windows: &[Window; 2], x: &Array, shape: &[usize]) -> Array {
    Array::from_fn(shape, |index| {
        let (mut sum, mut largest, mut count) = (0.0, f64::NEG_INFINITY, 0.0);
        for u in 0..windows[0].size {
            let Some(row) = position(windows[0], index[1], u, x.shape[1]) else { continue };
            for v in 0..windows[1].size {
                let Some(column) = position(windows[1], index[2], v, x.shape[2]) else { continue };
                let value = x.at(&[index[0], row, column, index[3]]);
                sum += value;
                largest = maximum(largest, value);
                count += 1.0;
            }
        }
        match kind {
            PoolKind::Average => sum / count,
            PoolKind::Max => largest,
        }
    })
}

pub(super) fn patches(windows: &[Window; 2], x: &Array, shape: &[usize]) -> Array {
    let channels = x.shape[3];
    Array::from_fn(shape, |index| {
        let (pixel, channel) = (index[3] / channels, index[3] % channels);
        let (u, v) = (pixel / windows[1].size, pixel % windows[1].size);
        let row = position(windows[0], index[1], u, x.shape[1]);
        let column = position(windows[1], index[2], v, x.shape[2]);
        row.zip(column).map_or(0.0, |(row, column)| x.at(&[index[0], row, column, channel]))
    })
}
