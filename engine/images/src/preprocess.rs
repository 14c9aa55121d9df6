//! Turns an image into a model's input.

use common::messages::{ImageError, ImageErrorCode};
use common::package::config::{Preprocessing, PreprocessingKind, Resampling};

use super::decode::{DecodeLimits, DecodedImage, OrientationTag, Reader, Wanted, decode_as};
use engine::Pixels;

mod area;
mod resample;
mod resize;
mod samples;

use self::area::AreaResize;
use self::resize::Sides;
use self::samples::Samples;

/// Returns the model's input for one image: `[height, width, channels]` of the input shape, row-major, the channels in
/// the order blue, green, red unless the config says otherwise.
///
/// # Errors
/// `wrong_image_size`: with `no_prepro`, the image has another size than the input.
pub fn preprocess(image: DecodedImage, how: &Preprocessing) -> Result<Pixels, ImageError> {
    let [height, width, channels] = how.input_shape;
    match how.kind {
        PreprocessingKind::NormalizeAndPad { normalization_factor } => {
            let input = Input { height, width, channels };
            let values = input.padded(Samples::of(image, channels));
            Ok(Pixels::Uint8 { values, divisor: normalization_factor })
        }
        PreprocessingKind::NoPrepro => {
            if (image.height, image.width) != (height, width) {
                let (rows, columns) = (image.height, image.width);
                return Err(ImageError {
                    code: ImageErrorCode::WrongImageSize,
                    detail: format!(
                        "the image is {columns}x{rows} pixels, expected {width}x{height} as the model takes it"
                    ),
                });
            }
            Ok(Pixels::Uint8 { values: Samples::of(image, channels).values, divisor: 1.0 })
        }
        PreprocessingKind::Resize(ref resize) => {
            let mut values = vec![0.0; height * width * channels];
            resize::fill(&image, how.input_shape, resize, &mut values);
            Ok(Pixels::Float32(values))
        }
    }
}

/// Decodes an image for its preprocessing: as the framework reads it that resizes it, upright or as stored, and reduced
/// where the config allows it. `goes_on` is called at intervals.
///
/// # Errors
/// As [`decode_as`].
pub fn decode(
    bytes: &[u8],
    limits: &DecodeLimits,
    how: &Preprocessing,
    goes_on: &dyn Fn() -> bool,
) -> Result<DecodedImage, ImageError> {
    let divisor = |height: usize, width: usize| match &how.kind {
        PreprocessingKind::Resize(resize) => {
            resize::divisor(Sides { height, width }, how.input_shape, resize)
        }
        PreprocessingKind::NormalizeAndPad { .. } | PreprocessingKind::NoPrepro => 1,
    };
    let is_gray = how.input_shape[2] == 1;
    let wanted = Wanted {
        reader: reader(how),
        is_gray,
        orientation_tag: orientation_tag(how),
        divisor: &divisor,
        goes_on,
    };
    decode_as(bytes, limits, &wanted)
}

/// Returns the framework whose decoding the model was trained with: the one that resizes.
fn reader(how: &Preprocessing) -> Reader {
    match &how.kind {
        PreprocessingKind::Resize(resize) => match resize.resampling {
            Resampling::Tensorflow { .. } => Reader::Tensorflow,
            Resampling::Pillow(_) => Reader::Pillow,
            Resampling::OpenCv(_) => Reader::OpenCv,
        },
        PreprocessingKind::NormalizeAndPad { .. } | PreprocessingKind::NoPrepro => Reader::OpenCv,
    }
}

/// Returns whether a file's orientation tag is applied when it is decoded.
fn orientation_tag(how: &Preprocessing) -> OrientationTag {
    match &how.kind {
        PreprocessingKind::Resize(resize) if !resize.exif_orientation => OrientationTag::Ignore,
        PreprocessingKind::Resize(_)
        | PreprocessingKind::NormalizeAndPad { .. }
        | PreprocessingKind::NoPrepro => OrientationTag::Apply,
    }
}

/// The model's input, and the position of images in it.
struct Input {
    height: usize,
    width: usize,
    channels: usize,
}

impl Input {
    /// Places an image in the centre of a black canvas; an odd pixel goes to the bottom and the right.
    fn padded(&self, source: Samples) -> Vec<u8> {
        if (source.height, source.width) == (self.height, self.width) {
            return source.values;
        }
        let (height, width) = self.fitted(&source);
        let (top, left) = ((self.height - height) / 2, (self.width - width) / 2);
        let stride = self.width * self.channels;
        let (start, length) = (left * self.channels, width * self.channels);
        let mut canvas = vec![0; self.height * stride];
        let mut rows = canvas.chunks_exact_mut(stride).skip(top).map(|row| &mut row[start..start + length]);
        let mut write = |samples: &[u8]| {
            if let Some(row) = rows.next() {
                row.copy_from_slice(samples);
            }
        };
        if (height, width) == (source.height, source.width) {
            source.values.chunks_exact(length).for_each(write);
        } else {
            AreaResize::new(&source, height, width).for_each_row(&mut write);
        }
        canvas
    }

    /// Returns the image's size in the input: its own, or scaled down if it is larger, keeping proportions as far as
    /// whole pixels allow.
    fn fitted(&self, source: &Samples) -> (usize, usize) {
        if source.height <= self.height && source.width <= self.width {
            return (source.height, source.width);
        }
        let ratio = |input: usize, image: usize| input as f64 / image as f64;
        let scale = f64::min(ratio(self.height, source.height), ratio(self.width, source.width));
        (scaled(source.height, scale).min(self.height), scaled(source.width, scale).min(self.width))
    }
}

/// `max(1, int(side * scale))` of Python.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the fraction is to be cut off, and neither factor is negative"
)]
fn scaled(side: usize, scale: f64) -> usize {
    ((side as f64 * scale) as usize).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_size_than_the_input_is_told_with_both_sizes() {
        let image = DecodedImage { height: 2, width: 3, pixels: vec![9; 18] };
        let how = Preprocessing { input_shape: [3, 2, 3], kind: PreprocessingKind::NoPrepro };
        let error = preprocess(image, &how).unwrap_err();
        assert_eq!(error.code, ImageErrorCode::WrongImageSize);
        assert_eq!(error.detail, "the image is 3x2 pixels, expected 2x3 as the model takes it");
    }

    #[test]
    fn no_prepro_keeps_the_pixel_values() {
        let pixels: Vec<u8> = (0..12).map(|value| value * 20).collect();
        let image = DecodedImage { height: 2, width: 2, pixels: pixels.clone() };
        let how = Preprocessing { input_shape: [2, 2, 3], kind: PreprocessingKind::NoPrepro };
        assert_eq!(preprocess(image, &how).unwrap(), Pixels::Uint8 { values: pixels, divisor: 1.0 });
    }
}
