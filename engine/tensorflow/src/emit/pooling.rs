//! Pooling, and windows as pixels.

use tensorflow::{DataType, Output};

use super::windows::{over_image, padded, padding};
use super::{Operand, image};
use crate::ops::fused::PaddingAttribute;
use crate::ops::{Attribute, Fault, Ops};
use model::{PoolKind, Window};

/// TensorFlow's average excludes the padding that it does itself. Zeros around the image are no part of the mean either, so
/// the mean over all that the window sees becomes that of the pixels.
pub(super) fn pool(
    ops: &mut Ops,
    kind: PoolKind,
    windows: [Window; 2],
    input: &Operand<'_>,
) -> Result<Output, Fault> {
    let [height, width, _] = image(input.shape)?;
    let is_explicit = matches!(padding(&windows, [height, width]), PaddingAttribute::Explicit(_));
    let (operation, beyond) = match kind {
        PoolKind::Average => ("AvgPool", 0.0),
        PoolKind::Max => ("MaxPool", f32::NEG_INFINITY),
    };
    // The number beyond the image is a float32.
    let output = if is_explicit { ops.cast(&input.output, DataType::Float)? } else { input.output.clone() };
    let (output, word) = padded(ops, &windows, &Operand { output, shape: input.shape }, beyond)?;
    let size = over_image(windows.map(|window| window.size));
    let strides = over_image(windows.map(|window| window.stride));
    let attributes = [
        ("ksize", Attribute::Integers(&size)),
        ("strides", Attribute::Integers(&strides)),
        ("padding", Attribute::Text(word)),
    ];
    let output = ops.op(operation, &[&output], &attributes)?;
    if !is_explicit || kind == PoolKind::Max {
        return Ok(output);
    }
    let [rows, columns] = [inside(windows[0], height), inside(windows[1], width)];
    let parts = rows.iter().flat_map(|row| columns.iter().map(move |column| row * column));
    let parts = ops.constant(&[rows.len(), columns.len(), 1], &parts.collect::<Vec<f32>>())?;
    ops.binary("RealDiv", &output, &parts)
}

/// Which part of each window is inside an axis of this length.
#[expect(clippy::cast_precision_loss, reason = "no window has 16 million pixels")]
fn inside(window: Window, length: usize) -> Vec<f32> {
    let [before, after] = window.beyond(length);
    let last = (length + before + after).saturating_sub(window.size);
    let part = |first: usize| {
        let pixels = (first..first + window.size).filter(|at| (before..before + length).contains(at)).count();
        pixels as f32 / window.size as f32
    };
    (0..=last).step_by(window.stride).map(part).collect()
}

pub(super) fn patches(ops: &mut Ops, windows: [Window; 2], input: &Operand<'_>) -> Result<Output, Fault> {
    let (image, word) = padded(ops, &windows, input, 0.0)?;
    ops.op(
        "ExtractImagePatches",
        &[&image],
        &[
            ("ksizes", Attribute::Integers(&over_image(windows.map(|window| window.size)))),
            ("strides", Attribute::Integers(&over_image(windows.map(|window| window.stride)))),
            ("rates", Attribute::Integers(&over_image(windows.map(|window| window.dilation)))),
            ("padding", Attribute::Text(word)),
        ],
    )
}
