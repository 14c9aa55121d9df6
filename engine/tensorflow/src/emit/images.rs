//! Images of another size, and blocks of pixels.

use tensorflow::Output;

use super::{Operand, image};
use crate::ops::{Attribute, Fault, Ops, to_i32};
use model::{Interpolation, Resize, Shape};

/// Resizes with half-pixel centres. They also make the rounding of nearest neighbours safe.
pub(super) fn resize(
    ops: &mut Ops,
    by: &Resize,
    input: &Operand<'_>,
    shape: &Shape,
) -> Result<Output, Fault> {
    let [height, width, _] = image(shape)?;
    let size = ops.axes(&[height, width])?;
    let (x, centres) = (&input.output, [("half_pixel_centers", Attribute::Bool(true))]);
    let kernel = match (by.interpolation, by.antialias) {
        (Interpolation::Nearest, _) => return ops.op("ResizeNearestNeighbor", &[x, &size], &centres),
        (Interpolation::Area, _) => return ops.binary("ResizeArea", x, &size),
        (Interpolation::Bilinear, false) => return ops.op("ResizeBilinear", &[x, &size], &centres),
        (Interpolation::Bicubic, false) => return ops.op("ResizeBicubic", &[x, &size], &centres),
        (Interpolation::Bilinear, true) => "triangle",
        (Interpolation::Bicubic, true) => "keyscubic",
        (Interpolation::Lanczos3, _) => "lanczos3",
        (Interpolation::Lanczos5, _) => "lanczos5",
        (Interpolation::Gaussian, _) => "gaussian",
        (Interpolation::MitchellCubic, _) => "mitchellcubic",
    };
    let [rows, columns, _] = image(input.shape)?;
    #[expect(clippy::cast_precision_loss, reason = "Keras divides the sizes as floats, too")]
    let scales = [height as f32 / rows as f32, width as f32 / columns as f32];
    let scales = ops.constant(&[2], &scales)?;
    let moved = ops.constant(&[2], &[0.0, 0.0])?;
    let attributes = [("kernel_type", Attribute::Text(kernel)), ("antialias", Attribute::Bool(by.antialias))];
    ops.op("ScaleAndTranslate", &[x, &size, &scales, &moved], &attributes)
}

pub(super) fn space_to_depth(ops: &mut Ops, block: usize, input: &Operand<'_>) -> Result<Output, Fault> {
    in_blocks(ops, "SpaceToDepth", block, input)
}

pub(super) fn depth_to_space(ops: &mut Ops, block: usize, input: &Operand<'_>) -> Result<Output, Fault> {
    in_blocks(ops, "DepthToSpace", block, input)
}

fn in_blocks(ops: &mut Ops, kind: &str, block: usize, input: &Operand<'_>) -> Result<Output, Fault> {
    // TensorFlow takes no blocks of one pixel.
    if block == 1 {
        return Ok(input.output.clone());
    }
    let block_size = i64::from(to_i32(block)?);
    ops.op(kind, &[&input.output], &[("block_size", Attribute::Integer(block_size))])
}
