//! An image with the model's number of channels.

use crate::decode::DecodedImage;

/// 8-bit samples: `[height, width, channels]`, row-major.
pub(super) struct Samples {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
    pub(super) values: Vec<u8>,
}

impl Samples {
    /// Returns an image as OpenCV reads it: grey if the model has one channel.
    pub(super) fn of(image: DecodedImage, channels: usize) -> Self {
        let DecodedImage { height, width, pixels } = image;
        let values = if channels == 1 { pixels.chunks_exact(3).map(luma).collect() } else { pixels };
        Self { height, width, channels, values }
    }
}

/// OpenCV's `COLOR_BGR2GRAY`: the weights of ITU-R BT.601 with 15 fractional bits, rounded.
pub(super) fn luma(pixel: &[u8]) -> u8 {
    let weighted = 3_735 * u32::from(pixel[0]) + 19_235 * u32::from(pixel[1]) + 9_798 * u32::from(pixel[2]);
    u8::try_from((weighted + (1 << 14)) >> 15).unwrap_or(u8::MAX)
}
