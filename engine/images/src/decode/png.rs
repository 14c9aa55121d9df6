//! PNG; of an animated one the default image.

use image::codecs::png::PngDecoder;
use image::{ColorType, ImageDecoder};

use super::orientation::Orientation;
use super::{DecodeError, DecodedImage, File, Reader, channels, raster};

pub(super) fn decode(file: File<'_>) -> Result<(DecodedImage, Orientation), DecodeError> {
    let (width, height) = size(file.bytes)?;
    file.limits.check(width, height)?;
    file.meter.allow_pixels(width, height);
    let mut decoder = PngDecoder::with_limits(file.source(), raster::memory_limits(width, height))
        .map_err(raster::fault)?;
    let orientation = raster::orientation_of(&mut decoder);
    let color = decoder.color_type();
    let reader = file.wanted.reader;
    if reader == Reader::OpenCv
        && chunk(file.bytes, b"acTL").is_some()
        && chunk(file.bytes, b"fcTL").is_none()
    {
        return Err(
            reader.refuses("an animated PNG whose first picture is not part of the animation as others do")
        );
    }
    if reader == Reader::Pillow && file.wanted.is_gray && is_wide_gray(file) {
        return Err(reader.refuses("16 bits of grey for a model of one channel: its values stay 0 to 65535"));
    }
    let gamma = gamma(file.bytes).filter(|_| reader == Reader::Tensorflow && file.wanted.is_gray);
    if let Some(gamma) = gamma.filter(|_| color.has_color()) {
        if matches!(color, ColorType::Rgb16 | ColorType::Rgba16) {
            return Err(reader.refuses("16 bits a colour with a gamma as grey as others do"));
        }
        let mut image = raster::read(decoder, file)?;
        gray_by_light(&mut image.pixels, gamma);
        return Ok((image, orientation));
    }
    let Some(to_bytes) = way(file, color) else {
        return Ok((raster::read(decoder, file)?, orientation));
    };
    let (width, height, samples) = raster::samples(decoder, file)?;
    let channels = usize::from(color.channel_count());
    let samples: Vec<u16> =
        samples.chunks_exact(2).map(|sample| u16::from_ne_bytes([sample[0], sample[1]])).collect();
    let values = samples.chunks_exact(channels).map(to_bytes).collect::<Vec<_>>();
    Ok((DecodedImage { height, width, pixels: channels::from_gray(values.into_iter()) }, orientation))
}

/// How a pixel of 16-bit samples becomes a grey value, if not by its upper byte.
fn way(file: File<'_>, color: ColorType) -> Option<fn(&[u16]) -> u8> {
    let is_color = matches!(color, ColorType::Rgb16 | ColorType::Rgba16);
    match file.wanted.reader {
        Reader::Pillow if is_wide_gray(file) => Some(|pixel| channels::clipped(pixel[0])),
        Reader::Tensorflow if is_color && file.wanted.is_gray => Some(gray),
        Reader::OpenCv | Reader::Pillow | Reader::Tensorflow => None,
    }
}

/// libpng's `png_set_rgb_to_gray` before its `png_set_strip_16`.
fn gray(pixel: &[u16]) -> u8 {
    let [red, green, blue] = [pixel[0], pixel[1], pixel[2]].map(u64::from);
    let weighted = (9_797 * red + 19_234 * green + 3_737 * blue + (1 << 14)) >> 15;
    u8::try_from(weighted >> 8).unwrap_or(u8::MAX)
}

/// With a transparent grey value the decoder creates alpha.
fn is_wide_gray(file: File<'_>) -> bool {
    file.bytes.get(24..26) == Some(&[16, 0])
}

/// Returns the body of the first chunk of this name before the image data.
fn chunk<'a>(bytes: &'a [u8], name: &[u8; 4]) -> Option<&'a [u8]> {
    let mut at = 8_usize;
    loop {
        let length = u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?) as usize;
        let found = bytes.get(at + 4..at + 8)?;
        if found == name {
            return bytes.get(at + 8..at.checked_add(8)?.checked_add(length)?);
        }
        if found == b"IDAT" {
            return None;
        }
        at = at.checked_add(length)?.checked_add(12)?;
    }
}

/// Returns the file's gamma, if libpng applies it: grey is then computed from light and not from the stored values.
fn gamma(bytes: &[u8]) -> Option<f64> {
    const OF_SRGB: u32 = 45_455;
    const NEARLY_ONE: std::ops::RangeInclusive<u32> = 95_000..=105_000;
    let told = match chunk(bytes, b"sRGB") {
        Some(_) => OF_SRGB,
        None => u32::from_be_bytes(*chunk(bytes, b"gAMA")?.first_chunk()?),
    };
    (told != 0 && !NEARLY_ONE.contains(&told)).then(|| f64::from(told))
}

/// libpng's `png_do_rgb_to_gray` with its 8-bit tables: to light, weighted, and back. Grey pixels stay.
fn gray_by_light(pixels: &mut [u8], gamma: f64) {
    let reciprocal = |gamma: f64| (1e10 / gamma + 0.5).floor();
    let to_light = powers(reciprocal(gamma));
    let from_light = powers(reciprocal(reciprocal(gamma)));
    for pixel in pixels.chunks_exact_mut(3).filter(|pixel| pixel[0] != pixel[1] || pixel[0] != pixel[2]) {
        let [blue, green, red] =
            [pixel[0], pixel[1], pixel[2]].map(|value| u32::from(to_light[usize::from(value)]));
        let light = (9_797 * red + 19_234 * green + 3_737 * blue + (1 << 14)) >> 15;
        pixel.fill(from_light[light.min(255) as usize]);
    }
}

/// `png_gamma_8bit_correct` of all values, by a hundred thousand times the exponent.
fn powers(exponent: f64) -> [u8; 256] {
    let mut table = [0; 256];
    for (value, power) in (0..=u8::MAX).zip(&mut table) {
        let share = f64::from(value) / 255.0;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of 255, rounded"
        )]
        let raised = (255.0 * share.powf(exponent * 0.000_01) + 0.5).floor() as u8;
        *power = raised;
    }
    table
}

/// Width and height are at a fixed position, so that the rest need not be read for them.
fn size(bytes: &[u8]) -> Result<(usize, usize), DecodeError> {
    let side = |at: usize| {
        let field: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_be_bytes(field)).ok()
    };
    side(16).zip(side(20)).ok_or_else(|| DecodeError::undecodable("it is truncated"))
}
