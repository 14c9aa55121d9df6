//! Adaptive pooling, into a fixed number of windows.

use tensorflow::Output;

use crate::layers::fixed_image;
use crate::ops::{Attribute, Fault, Ops, to_i32};
use keras::layers::{AdaptivePool2d, PoolKind};

/// Longest axis of an image that is pooled: its pixels are listed by window.
const MAX_LENGTH: usize = 1 << 20;

/// Pools one axis after the other: a mean of means over equally many pixels is the mean of all.
pub(in crate::layers) fn adaptive_pool2d(
    ops: &mut Ops,
    pool: &AdaptivePool2d,
    input: &Output,
) -> Result<Output, Fault> {
    let image = fixed_image(ops, input)?;
    let mut output = input.clone();
    for (axis, (length, count)) in image.into_iter().zip(pool.size).enumerate() {
        let windows = Windows::new(length, count)?;
        output = pooled(ops, pool.kind, &windows, &output, axis + 1)?;
    }
    Ok(output)
}

/// The pixels of an axis by window.
struct Windows {
    count: usize,
    /// Pixels of the largest window.
    longest: usize,
    /// Indices of pixels, `longest` for each window. A smaller window repeats its last pixel.
    pixels: Vec<i32>,
    /// The weight of each pixel in the mean of its window.
    weights: Vec<f32>,
}

impl Windows {
    fn new(length: usize, count: usize) -> Result<Self, Fault> {
        if length > MAX_LENGTH || length == 0 {
            return Err(Fault(format!(
                "its input has {length} pixels on an axis, expected 1 to {MAX_LENGTH}"
            )));
        }
        let bounds = |window: usize| (window * length / count, ((window + 1) * length).div_ceil(count));
        let longest = (0..count).map(bounds).map(|(begin, end)| end - begin).max().unwrap_or(1);
        let (mut pixels, mut weights) = (Vec::new(), Vec::new());
        for (begin, end) in (0..count).map(bounds) {
            for pixel in begin..begin + longest {
                pixels.push(to_i32(pixel.min(end - 1))?);
                #[expect(clippy::cast_precision_loss, reason = "an axis has at most a million pixels")]
                weights.push(if pixel < end { 1.0 / (end - begin) as f32 } else { 0.0 });
            }
        }
        Ok(Self { count, longest, pixels, weights })
    }
}

fn pooled(
    ops: &mut Ops,
    kind: PoolKind,
    windows: &Windows,
    input: &Output,
    axis: usize,
) -> Result<Output, Fault> {
    let Windows { count, longest, .. } = *windows;
    let pixels = ops.integers(&[count, longest], &windows.pixels)?;
    let at = ops.integers(&[], &[to_i32(axis)?])?;
    // The pixels of a window get an axis of their own behind that of the windows.
    let mut apart = ops.op("GatherV2", &[input, &pixels, &at], &[])?;
    let over = ops.integers(&[1], &[to_i32(axis + 1)?])?;
    let kind = match kind {
        PoolKind::Max => "Max",
        PoolKind::Average => {
            let behind = 3 - axis;
            let shape: Vec<usize> =
                [count, longest].into_iter().chain(std::iter::repeat_n(1, behind)).collect();
            let weights = ops.constant(&shape, &windows.weights)?;
            apart = ops.binary("Mul", &apart, &weights)?;
            "Sum"
        }
    };
    ops.op(kind, &[&apart, &over], &[("keep_dims", Attribute::Bool(false))])
}
