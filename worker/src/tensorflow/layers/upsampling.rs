//! Larger images from small ones.

use tensorflow::Output;

use crate::keras::layers::Interpolation;
use crate::tensorflow::ops::{Attribute, Fault, Ops, to_i32};

pub(super) fn upsampling2d(
    ops: &mut Ops,
    factors: [usize; 2],
    interpolation: Interpolation,
    input: &Output,
) -> Result<Output, Fault> {
    let size = match ops.sizes(input)?[..] {
        [_, Some(height), Some(width), _] => {
            ops.integers(&[2], &[to_i32(height * factors[0])?, to_i32(width * factors[1])?])?
        }
        [_, _, _, _] => {
            let size = ops.running_sizes(input, 1, 3)?;
            let factors = ops.integers(&[2], &[to_i32(factors[0])?, to_i32(factors[1])?])?;
            ops.binary("Mul", &size, &factors)?
        }
        ref sizes => return Err(Fault(format!("its input has {} axes, expected 4", sizes.len()))),
    };
    let kind = match interpolation {
        Interpolation::Nearest => "ResizeNearestNeighbor",
        Interpolation::Bilinear => "ResizeBilinear",
    };
    // Half-pixel centres: Keras's bilinear rule, and for copies the one whose rounding is safe.
    ops.op(kind, &[input, &size], &[("half_pixel_centers", Attribute::Bool(true))])
}
