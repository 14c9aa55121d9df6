//! Layers that resize images.

use tensorflow::Output;

use super::{cropping, fixed_image};
use crate::ops::{Attribute, Fault, Ops, to_i32};
use keras::layers::{Edges, Fit, Interpolation, Resize};

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
            let size = ops.dynamic_sizes(input, 1, 3)?;
            let factors = ops.integers(&[2], &[to_i32(factors[0])?, to_i32(factors[1])?])?;
            ops.binary("Mul", &size, &factors)?
        }
        ref sizes => return Err(Fault(format!("its input has {} axes, expected 4", sizes.len()))),
    };
    // The scales are exact even where a size is known only in a run.
    #[expect(clippy::cast_precision_loss, reason = "no image becomes 16 million times as large")]
    let scales = [factors[0] as f32, factors[1] as f32];
    resized(ops, input, &size, &Sampling { interpolation, antialias: false, scales: Some(scales) })
}

pub(super) fn resize(ops: &mut Ops, by: &Resize, input: &Output) -> Result<Output, Fault> {
    let input = match by.fit {
        Fit::Stretch => input.clone(),
        Fit::Crop => {
            let edges = cropped_edges(fixed_image(ops, input)?, by.size);
            cropping::cropping2d(ops, edges, input)?
        }
        Fit::Pad { value } => {
            let edges = padded_edges(fixed_image(ops, input)?, by.size);
            cropping::padding2d(ops, edges, value, input)?
        }
    };
    let size = ops.integers(&[2], &[to_i32(by.size[0])?, to_i32(by.size[1])?])?;
    let scales = match ops.sizes(&input)?[..] {
        #[expect(clippy::cast_precision_loss, reason = "Keras divides the sizes as floats, too")]
        [_, Some(height), Some(width), _] => {
            Some([by.size[0] as f32 / height as f32, by.size[1] as f32 / width as f32])
        }
        [_, _, _, _] => None,
        ref sizes => return Err(Fault(format!("its input has {} axes, expected 4", sizes.len()))),
    };
    let sampling = Sampling { interpolation: by.interpolation, antialias: by.antialias, scales };
    resized(ops, &input, &size, &sampling)
}

pub(super) fn center_crop(ops: &mut Ops, size: [usize; 2], input: &Output) -> Result<Output, Fault> {
    let image = fixed_image(ops, input)?;
    let (Some(rows), Some(columns)) = (image[0].checked_sub(size[0]), image[1].checked_sub(size[1])) else {
        let interpolation = Interpolation::Bilinear;
        return resize(ops, &Resize { size, interpolation, antialias: false, fit: Fit::Crop }, input);
    };
    let (top, left) = (rows / 2, columns / 2);
    cropping::cropping2d(ops, Edges { top, bottom: rows - top, left, right: columns - left }, input)
}

/// The size of an axis that has the wanted aspect ratio to the other axis, rounded as Keras does.
#[expect(clippy::cast_precision_loss, reason = "Keras computes it in float32")]
fn at_aspect_ratio(other: usize, wanted: usize, wanted_other: usize) -> usize {
    ((other.saturating_mul(wanted)) as f32 / wanted_other as f32) as usize
}

/// The edges cropped so that the image has the aspect ratio of `size`.
fn cropped_edges([height, width]: [usize; 2], size: [usize; 2]) -> Edges {
    let rows = at_aspect_ratio(width, size[0], size[1]).min(height).max(1);
    let columns = at_aspect_ratio(height, size[1], size[0]).min(width).max(1);
    let (top, left) = ((height - rows) / 2, (width - columns) / 2);
    Edges { top, bottom: height - rows - top, left, right: width - columns - left }
}

/// The edges padded so that the image has the aspect ratio of `size`, up to a pixel.
fn padded_edges([height, width]: [usize; 2], size: [usize; 2]) -> Edges {
    let rows = at_aspect_ratio(width, size[0], size[1]).max(height);
    let columns = at_aspect_ratio(height, size[1], size[0]).max(width);
    let (vertical, horizontal) = ((rows - height) / 2, (columns - width) / 2);
    Edges { top: vertical, bottom: vertical, left: horizontal, right: horizontal }
}

struct Sampling {
    interpolation: Interpolation,
    antialias: bool,
    /// Output size divided by input size, where they are known.
    scales: Option<[f32; 2]>,
}

/// Resizes with half-pixel centres, as Keras does. They also make the rounding of nearest neighbours safe.
fn resized(ops: &mut Ops, input: &Output, size: &Output, by: &Sampling) -> Result<Output, Fault> {
    let centres = [("half_pixel_centers", Attribute::Bool(true))];
    let kernel = match (by.interpolation, by.antialias) {
        (Interpolation::Nearest, _) => return ops.op("ResizeNearestNeighbor", &[input, size], &centres),
        (Interpolation::Area, _) => return ops.binary("ResizeArea", input, size),
        (Interpolation::Bilinear, false) => return ops.op("ResizeBilinear", &[input, size], &centres),
        (Interpolation::Bicubic, false) => return ops.op("ResizeBicubic", &[input, size], &centres),
        (Interpolation::Bilinear, true) => "triangle",
        (Interpolation::Bicubic, true) => "keyscubic",
        (Interpolation::Lanczos3, _) => "lanczos3",
        (Interpolation::Lanczos5, _) => "lanczos5",
        (Interpolation::Gaussian, _) => "gaussian",
        (Interpolation::MitchellCubic, _) => "mitchellcubic",
    };
    let Some(scales) = by.scales else {
        return Err(Fault("its input has no fixed height and width, which it needs".to_owned()));
    };
    let scales = ops.constant(&[2], &scales)?;
    let moved = ops.constant(&[2], &[0.0, 0.0])?;
    let attributes = [("kernel_type", Attribute::Text(kernel)), ("antialias", Attribute::Bool(by.antialias))];
    ops.op("ScaleAndTranslate", &[input, size, &scales, &moved], &attributes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crops_and_padding_are_centred() {
        // As `keras.layers.Resizing` finds its boxes.
        let edges = |top, bottom, left, right| Edges { top, bottom, left, right };
        assert_eq!(cropped_edges([5, 8], [4, 4]), edges(0, 0, 1, 2));
        assert_eq!(cropped_edges([9, 4], [2, 4]), edges(3, 4, 0, 0));
        assert_eq!(cropped_edges([1, 900], [1, 2]), edges(0, 0, 449, 449));
        assert_eq!(cropped_edges([900, 1], [1, 2]), edges(449, 450, 0, 0));
        assert_eq!(padded_edges([5, 8], [4, 4]), edges(1, 1, 0, 0));
        assert_eq!(padded_edges([9, 4], [2, 4]), edges(0, 0, 7, 7));
    }
}
