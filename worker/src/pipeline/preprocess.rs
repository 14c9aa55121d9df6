//! A decoded image becomes one model input.

use std::borrow::Cow;

use common::messages::ImageError;
use common::package::config::{Preprocessing, PreprocessingKind};

use super::decode::{DecodedImage, Turning};

mod area;
mod resample;
mod resize;

use self::area::AreaResize;

/// The model's input for one image: `[height, width, channels]` of the input shape, row-major, the
/// channels in the order blue, green, red unless the config says otherwise.
///
/// # Errors
/// As [`preprocess_into`].
pub fn preprocess(image: DecodedImage, how: &Preprocessing) -> Result<Vec<f32>, ImageError> {
    let mut values = vec![0.0; how.input_shape.iter().product()];
    preprocess_into(&image, how, &mut values)?;
    Ok(values)
}

/// Whether an image is to be turned by its orientation tag when it is decoded.
#[must_use]
pub fn turning(how: &Preprocessing) -> Turning {
    match &how.kind {
        PreprocessingKind::Resize(resize) if !resize.exif_orientation => Turning::AsStored,
        PreprocessingKind::Resize(_)
        | PreprocessingKind::NormalizeAndPad { .. }
        | PreprocessingKind::NoPrepro => Turning::Upright,
    }
}

/// As [`preprocess`], into the image's place in a batch. Every value of `out` is written.
///
/// # Errors
/// `wrong_image_size`: `no_prepro`, and the image has another size than the input.
///
/// # Panics
/// `out` is not as long as the input shape says.
pub fn preprocess_into(image: &DecodedImage, how: &Preprocessing, out: &mut [f32]) -> Result<(), ImageError> {
    let [height, width, channels] = how.input_shape;
    assert_eq!(out.len(), height * width * channels, "the place in the batch has the size of one input");
    let input = Input { height, width, channels };
    match how.kind {
        PreprocessingKind::NormalizeAndPad { normalization_factor } => {
            let source = Source::new(image, channels);
            input.fill_padded(&source, &levels_over(normalization_factor), out);
        }
        PreprocessingKind::NoPrepro => {
            if (image.height, image.width) != (height, width) {
                let (rows, columns) = (image.height, image.width);
                return Err(ImageError {
                    code: "wrong_image_size".to_owned(),
                    detail: format!(
                        "the image is {columns}x{rows} pixels, expected {width}x{height} as the model takes it"
                    ),
                });
            }
            write_row(out, &Source::new(image, channels).samples, &levels_over(1.0));
        }
        PreprocessingKind::Resize(ref resize) => resize::fill(image, how.input_shape, resize, out),
    }
    Ok(())
}

/// The model's value of each 8-bit level: a table, so that none is divided twice.
fn levels_over(factor: f32) -> [f32; 256] {
    let mut level = 0.0;
    [(); 256].map(|()| {
        let value = level / factor;
        level += 1.0;
        value
    })
}

/// The image with as many channels as the model takes.
struct Source<'a> {
    height: usize,
    width: usize,
    channels: usize,
    samples: Cow<'a, [u8]>,
}

impl<'a> Source<'a> {
    fn new(image: &'a DecodedImage, channels: usize) -> Self {
        let samples = if channels == 1 {
            Cow::Owned(image.pixels.chunks_exact(3).map(luma).collect())
        } else {
            Cow::Borrowed(image.pixels.as_slice())
        };
        Self { height: image.height, width: image.width, channels, samples }
    }
}

/// OpenCV's `COLOR_BGR2GRAY`: the weights of ITU-R BT.601 with 15 fractional bits, rounded.
fn luma(pixel: &[u8]) -> u8 {
    let weighted = 3_735 * u32::from(pixel[0]) + 19_235 * u32::from(pixel[1]) + 9_798 * u32::from(pixel[2]);
    u8::try_from((weighted + (1 << 14)) >> 15).unwrap_or(u8::MAX)
}

/// The model's input, and where images lie in it.
struct Input {
    height: usize,
    width: usize,
    channels: usize,
}

impl Input {
    /// In the centre of a black canvas, the odd pixel going to the bottom and the right.
    fn fill_padded(&self, source: &Source<'_>, values: &[f32; 256], out: &mut [f32]) {
        let (height, width) = self.fitted(source);
        let (top, left) = ((self.height - height) / 2, (self.width - width) / 2);
        let stride = self.width * self.channels;
        let (start, length) = (left * self.channels, width * self.channels);
        out.fill(values[0]);
        let mut rows = out.chunks_exact_mut(stride).skip(top).map(|row| &mut row[start..start + length]);
        let mut write = |samples: &[u8]| {
            if let Some(row) = rows.next() {
                write_row(row, samples, values);
            }
        };
        if (height, width) == (source.height, source.width) {
            source.samples.chunks_exact(length).for_each(write);
        } else {
            AreaResize::new(source, height, width).for_each_row(&mut write);
        }
    }

    /// The image's size in the input: its own, or scaled down where it is larger, keeping proportions
    /// as far as whole pixels allow.
    fn fitted(&self, source: &Source<'_>) -> (usize, usize) {
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

fn write_row(row: &mut [f32], samples: &[u8], values: &[f32; 256]) {
    for (value, sample) in row.iter_mut().zip(samples) {
        *value = values[usize::from(*sample)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_size_than_the_input_is_told_with_both_sizes() {
        let image = DecodedImage { height: 2, width: 3, pixels: vec![9; 18] };
        let how = Preprocessing { input_shape: [3, 2, 3], kind: PreprocessingKind::NoPrepro };
        let error = preprocess(image, &how).unwrap_err();
        assert_eq!(error.code, "wrong_image_size");
        assert_eq!(error.detail, "the image is 3x2 pixels, expected 2x3 as the model takes it");
    }

    #[test]
    fn no_prepro_keeps_the_levels() {
        let pixels: Vec<u8> = (0..12).map(|level| level * 20).collect();
        let image = DecodedImage { height: 2, width: 2, pixels: pixels.clone() };
        let how = Preprocessing { input_shape: [2, 2, 3], kind: PreprocessingKind::NoPrepro };
        let expected: Vec<f32> = pixels.into_iter().map(f32::from).collect();
        assert_eq!(preprocess(image, &how).unwrap(), expected);
    }
}
