//! `stretch`, `letterbox`, `center_crop` and `image_ops_fit`: turns any image into the model's input as a given framework does.

use common::package::config::{ChannelOrder, Fit, Normalization, Resampling, Resize};

use super::resample::{SourceSpan, TargetAxis, resample};
use super::samples::{Samples, luma};
use crate::decode::DecodedImage;

/// Pixel values 0 to 255, not always integers: `[rows, width, channels]`, row-major.
pub(super) struct Raster {
    pub(super) width: usize,
    pub(super) channels: usize,
    pub(super) values: Vec<f32>,
}

/// The area of a whole image.
#[derive(Clone, Copy)]
pub(super) struct Sides {
    pub(super) height: usize,
    pub(super) width: usize,
}

/// A box of pixels.
#[derive(Clone, Copy)]
struct Area {
    top: usize,
    left: usize,
    height: usize,
    width: usize,
}

/// Writes all values of the model's input for an image into `out`.
pub(super) fn fill(
    image: &DecodedImage,
    [height, width, channels]: [usize; 3],
    how: &Resize,
    out: &mut [f32],
) {
    let whole = Area { top: 0, left: 0, height: image.height, width: image.width };
    let resampled = |area: Area, rows: &TargetAxis, columns: &TargetAxis| {
        resample(&arranged(image, area, channels, how), rows, columns, how.resampling)
    };
    let sides = Sides { height: image.height, width: image.width };
    let full = (TargetAxis::whole(height), TargetAxis::whole(width));
    match how.fit {
        Fit::Stretch => place(&resampled(whole, &full.0, &full.1), out, (width, &how.normalization)),
        Fit::CropThenResize => {
            let raster = resampled(cropped(sides, height, width), &full.0, &full.1);
            place(&raster, out, (width, &how.normalization));
        }
        Fit::CropBetweenPixels => {
            let [rows, columns] = image_ops_fit(sides, height, width);
            let raster = resampled(whole, &full.0.of(rows), &full.1.of(columns));
            place(&raster, out, (width, &how.normalization));
        }
        Fit::ResizeThenCrop { shorter_side } => {
            let (tall, wide) = shortened(sides, shorter_side);
            let raster = resampled(whole, &centre(tall, height), &centre(wide, width));
            place(&raster, out, (width, &how.normalization));
        }
        Fit::Letterbox { fill } => {
            let area = fitted(sides, height, width);
            for pixel in out.chunks_exact_mut(channels) {
                for (channel, value) in pixel.iter_mut().enumerate() {
                    *value = normalized(fill, channel, &how.normalization);
                }
            }
            let raster = resampled(whole, &TargetAxis::whole(area.height), &TargetAxis::whole(area.width));
            let start = (area.top * width + area.left) * channels;
            place(&raster, &mut out[start..], (width, &how.normalization));
        }
    }
}

/// Returns by what the sides of an image may be divided before it is scaled: 8, 4, 2, or 1 if it must not be reduced.
#[expect(clippy::cast_precision_loss, reason = "sides are far below 2^52")]
pub(super) fn divisor(image: Sides, [height, width, _]: [usize; 3], how: &Resize) -> usize {
    let Some(gap) = how.reducing_gap else { return 1 };
    // The size to which the whole image is scaled.
    let (rows, columns) = match how.fit {
        Fit::Stretch => (height as f64, width as f64),
        Fit::CropThenResize => {
            let part = cropped(image, height, width);
            let scaled = |side: usize, target: usize, part: usize| side as f64 * target as f64 / part as f64;
            (scaled(image.height, height, part.height), scaled(image.width, width, part.width))
        }
        Fit::CropBetweenPixels => {
            let [rows, columns] = image_ops_fit(image, height, width);
            let scaled =
                |side: usize, target: usize, span: SourceSpan| side as f64 * target as f64 / span.length;
            (scaled(image.height, height, rows), scaled(image.width, width, columns))
        }
        Fit::ResizeThenCrop { shorter_side } => {
            let (rows, columns) = shortened(image, shorter_side);
            (rows as f64, columns as f64)
        }
        Fit::Letterbox { .. } => {
            let area = fitted(image, height, width);
            (area.height as f64, area.width as f64)
        }
    };
    let spare = (image.height as f64 / (gap * rows)).min(image.width as f64 / (gap * columns));
    [8, 4, 2].into_iter().find(|divisor| spare >= f64::from(*divisor)).map_or(1, |divisor: u8| divisor.into())
}

/// Returns a part of an image with the model's number of channels.
fn arranged(image: &DecodedImage, area: Area, channels: usize, how: &Resize) -> Samples {
    let mut values = Vec::with_capacity(area.height * area.width * channels);
    for row in image.pixels.chunks_exact(image.width * 3).skip(area.top).take(area.height) {
        let row = &row[area.left * 3..(area.left + area.width) * 3];
        match (channels, how.channel_order) {
            (1, _) => values.extend(row.chunks_exact(3).map(|pixel| grey(pixel, how.resampling))),
            (_, ChannelOrder::Bgr) => values.extend_from_slice(row),
            (_, ChannelOrder::Rgb) => {
                values.extend(row.chunks_exact(3).flat_map(|pixel| [pixel[2], pixel[1], pixel[0]]));
            }
        }
    }
    Samples { height: area.height, width: area.width, channels, values }
}

/// Converts one pixel of blue, green and red to grey, as the framework does.
fn grey(pixel: &[u8], resampling: Resampling) -> u8 {
    match resampling {
        // `Image.convert("L")`: ITU-R BT.601 with 16 fractional bits, rounded.
        Resampling::Pillow(_) => {
            let [blue, green, red] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
            u8::try_from((19_595 * red + 38_470 * green + 7_471 * blue + 0x8000) >> 16).unwrap_or(u8::MAX)
        }
        // `tf.io.decode_png(channels=1)`, which is libpng's: as OpenCV's, but truncated.
        Resampling::Tensorflow { .. } => {
            let [blue, green, red] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
            u8::try_from((9_797 * red + 19_234 * green + 3_737 * blue) >> 15).unwrap_or(u8::MAX)
        }
        Resampling::OpenCv(_) => luma(pixel),
    }
}

/// `keras.utils.image_dataset_from_directory(crop_to_aspect_ratio=True)`: the largest centred box with the proportions
/// of the input.
fn cropped(image: Sides, height: usize, width: usize) -> Area {
    let tall = (image.width * height / width).clamp(1, image.height);
    let wide = (image.height * width / height).clamp(1, image.width);
    Area { top: (image.height - tall) / 2, left: (image.width - wide) / 2, height: tall, width: wide }
}

/// `PIL.ImageOps.fit(image, (width, height))`: the rows and the columns of the largest centred box with the proportions of
/// the input. Pillow passes the edges of the box on in float32.
#[expect(clippy::cast_precision_loss, reason = "sides are far below 2^52")]
fn image_ops_fit(image: Sides, height: usize, width: usize) -> [SourceSpan; 2] {
    let (tall, wide) = (image.height as f64, image.width as f64);
    let (ratio, wanted) = (wide / tall, width as f64 / height as f64);
    let (crop_height, crop_width) = if ratio == wanted {
        (tall, wide)
    } else if ratio >= wanted {
        (tall, wanted * tall)
    } else {
        (wide / wanted, wide)
    };
    [(tall, crop_height), (wide, crop_width)].map(|(side, crop)| {
        let start = (side - crop) * 0.5;
        #[expect(clippy::cast_possible_truncation, reason = "Pillow computes so")]
        let (first, end) = (start as f32, (start + crop) as f32);
        SourceSpan { start: f64::from(first), length: f64::from(end - first) }
    })
}

/// `torchvision.transforms.Resize(side)`: the shorter side gets this size, the longer one is scaled and truncated.
fn shortened(image: Sides, side: usize) -> (usize, usize) {
    if image.height <= image.width {
        (side, side * image.width / image.height)
    } else {
        (side * image.height / image.width, side)
    }
}

/// `torchvision.transforms.CenterCrop`: half of the rest, halves rounded to even.
fn centre(size: usize, part: usize) -> TargetAxis {
    let over = size - part;
    let half = over / 2;
    let start = half + usize::from(over % 2 == 1 && half % 2 == 1);
    TargetAxis { size, part: start..start + part, span: None }
}

/// `tf.image.resize_with_pad`: both sides are divided by the larger ratio, in float32. The offset is half of the
/// remaining space, truncated last.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "TensorFlow computes so, and neither number is negative"
)]
fn fitted(image: Sides, height: usize, width: usize) -> Area {
    let (tall, wide) = (image.height as f32, image.width as f32);
    let ratio = f32::max(tall / height as f32, wide / width as f32);
    let side = |size: f32, limit: usize| {
        let scaled = ((size / ratio) as usize).clamp(1, limit);
        let before = ((limit as f32 - size / ratio) / 2.0) as usize;
        (before.min(limit - scaled), scaled)
    };
    let ((top, height), (left, width)) = (side(tall, height), side(wide, width));
    Area { top, left, height, width }
}

/// Copies the raster to the beginning of `out`, whose rows have `stride` pixels.
fn place(raster: &Raster, out: &mut [f32], (stride, numbers): (usize, &Normalization)) {
    let channels = raster.channels;
    let rows = raster.values.chunks_exact(raster.width * channels);
    for (row, target) in rows.zip(out.chunks_mut(stride * channels)) {
        for (pixel, out) in row.chunks_exact(channels).zip(target.chunks_exact_mut(channels)) {
            for (channel, (sample, value)) in pixel.iter().zip(out).enumerate() {
                *value = normalized(*sample, channel, numbers);
            }
        }
    }
}

fn normalized(sample: f32, channel: usize, numbers: &Normalization) -> f32 {
    (sample / numbers.factor - numbers.mean[channel]) / numbers.std[channel]
}

#[cfg(test)]
mod tests {
    use common::package::config::PillowFilter;

    use super::*;

    fn how(fit: Fit, reducing_gap: Option<f64>) -> Resize {
        Resize {
            fit,
            resampling: Resampling::Pillow(PillowFilter::Bilinear),
            channel_order: ChannelOrder::Rgb,
            exif_orientation: false,
            reducing_gap,
            normalization: Normalization { factor: 1.0, mean: [0.0; 3], std: [1.0; 3] },
        }
    }

    #[test]
    fn an_image_is_made_smaller_as_far_as_the_gap_allows() {
        let divisor =
            |fit, gap, height, width| divisor(Sides { height, width }, [100, 100, 3], &how(fit, gap));
        assert_eq!(divisor(Fit::Stretch, None, 9000, 9000), 1);
        for (height, width, expected) in [
            (1600, 1600, 8),
            (1599, 4000, 4),
            (800, 900, 4),
            (799, 799, 2),
            (400, 400, 2),
            (399, 9000, 1),
            (50, 50, 1),
        ] {
            assert_eq!(divisor(Fit::Stretch, Some(2.0), height, width), expected, "{height}x{width}");
        }
        assert_eq!(divisor(Fit::Stretch, Some(1.0), 800, 800), 8);
        // The shorter side is scaled to the input, or to its own size.
        assert_eq!(divisor(Fit::CropThenResize, Some(2.0), 1600, 4000), 8);
        assert_eq!(divisor(Fit::ResizeThenCrop { shorter_side: 200 }, Some(2.0), 1600, 4000), 4);
        // The longer one.
        assert_eq!(divisor(Fit::Letterbox { fill: 0.0 }, Some(2.0), 400, 1600), 8);
    }
}
