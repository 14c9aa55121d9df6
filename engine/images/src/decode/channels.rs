//! Converts samples of all kinds to blue, green, red with 8 bits.

/// Repeats each grey value over the three channels.
pub(super) fn from_gray(values: impl ExactSizeIterator<Item = u8>) -> Vec<u8> {
    let mut pixels = Vec::with_capacity(values.len() * 3);
    for value in values {
        pixels.extend_from_slice(&[value; 3]);
    }
    pixels
}

/// Converts pixels of `CHANNELS` samples, of which the first three are red, green and blue.
pub(super) fn from_rgb<const CHANNELS: usize>(samples: &[u8]) -> Vec<u8> {
    let mut pixels = vec![0; samples.len() / CHANNELS * 3];
    for (to, from) in pixels.chunks_exact_mut(3).zip(samples.chunks_exact(CHANNELS)) {
        to.copy_from_slice(&[from[2], from[1], from[0]]);
    }
    pixels
}

/// Reverses red, green and blue in place.
pub(super) fn reverse(pixels: &mut [u8]) {
    for pixel in pixels.chunks_exact_mut(3) {
        pixel.swap(0, 2);
    }
}

/// Converts a 16-bit value to 8 bits as Pillow does: larger values become white.
pub(super) fn clipped(value: u16) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}

/// Converts inverted CMYK to blue, green and red as Pillow does.
pub(super) fn bgr_of_light([cyan, magenta, yellow, black]: [u8; 4]) -> [u8; 3] {
    let white = u32::from(black);
    [yellow, magenta, cyan].map(|left| {
        // The product of two fractions of 255, rounded as in Pillow's `MULDIV255`.
        let product = (255 - u32::from(left)) * white + 128;
        let share = ((product >> 8) + product) >> 8;
        u8::try_from(white.saturating_sub(share)).unwrap_or(u8::MAX)
    })
}

/// Converts one pixel by the integer arithmetic of libjpeg's `ycc_rgb_convert`, with 16 fractional bits.
pub(super) fn rgb_of_ycbcr([luma, blue_difference, red_difference]: [u8; 3]) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let luma = i32::from(luma);
    let blue_difference = i32::from(blue_difference) - 128;
    let red_difference = i32::from(red_difference) - 128;
    let red = luma + ((91_881 * red_difference + HALF) >> 16);
    let green = luma + ((-22_554 * blue_difference - 46_802 * red_difference + HALF) >> 16);
    let blue = luma + ((116_130 * blue_difference + HALF) >> 16);
    [red, green, blue].map(|value| u8::try_from(value.clamp(0, 255)).unwrap_or(0))
}
