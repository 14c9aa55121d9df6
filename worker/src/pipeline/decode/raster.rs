//! PNG, BMP and GIF: one picture of plain samples each, perhaps with alpha.

use std::io::{Cursor, ErrorKind};

use image::codecs::bmp::BmpDecoder;
use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;
use image::{ColorType, ImageDecoder, Limits};

use super::orientation::Orientation;
use super::{DecodeLimits, DecodedImage, Fault, channels, memory_for};

pub(super) fn png(bytes: &[u8], limits: &DecodeLimits) -> Result<(DecodedImage, Orientation), Fault> {
    let (width, height) = png_size(bytes)?;
    limits.check(width, height)?;
    let mut decoder =
        PngDecoder::with_limits(Cursor::new(bytes), memory_limits(width, height)).map_err(fault)?;
    let orientation = orientation_of(&mut decoder);
    Ok((read(decoder, limits)?, orientation))
}

pub(super) fn bmp(bytes: &[u8], limits: &DecodeLimits) -> Result<DecodedImage, Fault> {
    let decoder = BmpDecoder::new(Cursor::new(bytes)).map_err(fault)?;
    let mut image = read(decoder, limits)?;
    // Five bits and six become eight by a shift in OpenCV; the decoder fills the low bits.
    if let Some(kept) = bmp_bits_kept(bytes) {
        for pixel in image.pixels.chunks_exact_mut(3) {
            pixel.iter_mut().zip(kept).for_each(|(level, mask)| *level &= mask);
        }
    }
    Ok(image)
}

/// For 16 bits a pixel, which bits of blue, green and red are the file's own.
fn bmp_bits_kept(bytes: &[u8]) -> Option<[u8; 3]> {
    let field = |at: usize| Some(u16::from_le_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    let (header_bytes, depth, compression, green_mask) = (field(14)?, field(28)?, field(30)?, field(58)?);
    let six_bits_of_green = compression == 3 && green_mask == 0x07e0;
    (header_bytes >= 40 && depth == 16).then_some([0xf8, if six_bits_of_green { 0xfc } else { 0xf8 }, 0xf8])
}

pub(super) fn gif(bytes: &[u8], limits: &DecodeLimits) -> Result<DecodedImage, Fault> {
    let decoder = GifDecoder::new(Cursor::new(bytes)).map_err(fault)?;
    let background = gif_background(bytes);
    read_with(decoder, limits, |samples| {
        for pixel in samples.chunks_exact_mut(4).filter(|pixel| pixel[3] == 0) {
            pixel[..3].copy_from_slice(&background);
        }
    })
}

/// Red, green and blue of what lies under transparent pixels and round a first frame smaller than the
/// canvas: the header's background index in the global palette, black where there is none.
fn gif_background(bytes: &[u8]) -> [u8; 3] {
    let color = || {
        let has_palette = bytes.get(10)? & 0x80 != 0;
        let at = 13 + 3 * usize::from(*bytes.get(11)?);
        if has_palette { bytes.get(at..at + 3)?.try_into().ok() } else { None }
    };
    color().unwrap_or_default()
}

/// Width and height stand at a fixed place, so that the rest need not be read for them.
fn png_size(bytes: &[u8]) -> Result<(usize, usize), Fault> {
    let side = |at: usize| {
        let field: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_be_bytes(field)).ok()
    };
    side(16).zip(side(20)).ok_or_else(|| Fault::undecodable("it is truncated"))
}

fn memory_limits(width: usize, height: usize) -> Limits {
    let mut memory = Limits::no_limits();
    memory.max_alloc = Some(memory_for(width, height) as u64);
    memory
}

/// What the file's EXIF block says.
pub(super) fn orientation_of(decoder: &mut impl ImageDecoder) -> Orientation {
    match decoder.exif_metadata() {
        Ok(Some(exif)) => Orientation::from_exif(&exif),
        Ok(None) | Err(_) => Orientation::UPRIGHT,
    }
}

/// The pixels of a decoder that has read its header.
pub(super) fn read(decoder: impl ImageDecoder, limits: &DecodeLimits) -> Result<DecodedImage, Fault> {
    read_with(decoder, limits, |_| ())
}

/// `amend` gets the samples as decoded, before alpha is dropped.
fn read_with(
    mut decoder: impl ImageDecoder,
    limits: &DecodeLimits,
    amend: impl FnOnce(&mut [u8]),
) -> Result<DecodedImage, Fault> {
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    limits.check(width, height)?;
    decoder.set_limits(memory_limits(width, height)).map_err(fault)?;
    let color = decoder.color_type();
    let mut samples = vec![0; width * height * usize::from(color.bytes_per_pixel())];
    decoder.read_image(&mut samples).map_err(fault)?;
    amend(&mut samples);
    Ok(DecodedImage { height, width, pixels: bgr_of(color, samples)? })
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the decoder's own set, which may grow: the rest is refused"
)]
fn bgr_of(color: ColorType, mut samples: Vec<u8>) -> Result<Vec<u8>, Fault> {
    Ok(match color {
        ColorType::L8 => channels::from_gray(samples.into_iter()),
        ColorType::La8 => channels::from_gray(samples.chunks_exact(2).map(|pixel| pixel[0])),
        ColorType::Rgb8 => {
            channels::reverse(&mut samples);
            samples
        }
        ColorType::Rgba8 => channels::from_rgb::<4>(&samples),
        ColorType::L16 => channels::from_gray(high_bytes(&samples).into_iter()),
        ColorType::La16 => channels::from_gray(high_bytes(&samples).chunks_exact(2).map(|pixel| pixel[0])),
        ColorType::Rgb16 => channels::from_rgb::<3>(&high_bytes(&samples)),
        ColorType::Rgba16 => channels::from_rgb::<4>(&high_bytes(&samples)),
        other => return Err(Fault::Undecodable(format!("unsupported colour type {other:?}"))),
    })
}

/// The upper halves of 16-bit samples: OpenCV has libpng drop the lower ones.
fn high_bytes(samples: &[u8]) -> Vec<u8> {
    samples
        .chunks_exact(2)
        .map(|sample| u16::from_ne_bytes([sample[0], sample[1]]).to_be_bytes()[0])
        .collect()
}

/// A decoder's error as a fact about the file.
pub(super) fn fault(cause: image::ImageError) -> Fault {
    if let image::ImageError::Unsupported(cause) = &cause {
        return Fault::Undecodable(format!("unsupported variant ({cause})"));
    }
    if let image::ImageError::IoError(cause) = &cause
        && cause.kind() == ErrorKind::UnexpectedEof
    {
        return Fault::undecodable("it is truncated");
    }
    Fault::Undecodable(format!("corrupt data ({cause})"))
}
