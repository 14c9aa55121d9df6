//! Samples of every kind become blue, green, red at 8 bits.

/// Repeats each grey level over the three channels.
pub(super) fn from_gray(levels: impl ExactSizeIterator<Item = u8>) -> Vec<u8> {
    let mut pixels = Vec::with_capacity(levels.len() * 3);
    for level in levels {
        pixels.extend_from_slice(&[level; 3]);
    }
    pixels
}

/// From pixels of `CHANNELS` samples, of which the first three are red, green and blue.
pub(super) fn from_rgb<const CHANNELS: usize>(samples: &[u8]) -> Vec<u8> {
    let mut pixels = vec![0; samples.len() / CHANNELS * 3];
    for (to, from) in pixels.chunks_exact_mut(3).zip(samples.chunks_exact(CHANNELS)) {
        to.copy_from_slice(&[from[2], from[1], from[0]]);
    }
    pixels
}

/// Reverses red, green and blue where they stand.
pub(super) fn reverse(pixels: &mut [u8]) {
    for pixel in pixels.chunks_exact_mut(3) {
        pixel.swap(0, 2);
    }
}

/// A 16-bit level as Pillow makes it 8 bits: what is too bright is white.
pub(super) fn clipped(level: u16) -> u8 {
    u8::try_from(level).unwrap_or(u8::MAX)
}

/// Pillow's way from what inks leave of the light to blue, green and red.
pub(super) fn bgr_of_light([cyan, magenta, yellow, black]: [u8; 4]) -> [u8; 3] {
    let white = u32::from(black);
    [yellow, magenta, cyan].map(|left| {
        // The ink's share of the light, rounded as Pillow's `MULDIV255` does.
        let product = (255 - u32::from(left)) * white + 128;
        let share = ((product >> 8) + product) >> 8;
        u8::try_from(white.saturating_sub(share)).unwrap_or(u8::MAX)
    })
}

/// One pixel by the integer arithmetic of libjpeg's `ycc_rgb_convert`, 16 fractional bits.
pub(super) fn rgb_of_ycbcr([luma, blue_difference, red_difference]: [u8; 3]) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let luma = i32::from(luma);
    let blue_difference = i32::from(blue_difference) - 128;
    let red_difference = i32::from(red_difference) - 128;
    let red = luma + ((91_881 * red_difference + HALF) >> 16);
    let green = luma + ((-22_554 * blue_difference - 46_802 * red_difference + HALF) >> 16);
    let blue = luma + ((116_130 * blue_difference + HALF) >> 16);
    [red, green, blue].map(|level| u8::try_from(level.clamp(0, 255)).unwrap_or(0))
}
