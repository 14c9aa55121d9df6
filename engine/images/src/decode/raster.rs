//! What PNG, BMP, GIF and WebP share: a decoder that returns plain samples, perhaps with alpha.

use std::io::ErrorKind;

use image::{ColorType, ImageDecoder, Limits};

use super::orientation::Orientation;
use super::{DecodeError, DecodedImage, File, channels, memory_for};

pub(super) fn memory_limits(width: usize, height: usize) -> Limits {
    let mut memory = Limits::no_limits();
    memory.max_alloc = Some(memory_for(width, height) as u64);
    memory
}

/// Returns the orientation of the file's EXIF block.
pub(super) fn orientation_of(decoder: &mut impl ImageDecoder) -> Orientation {
    match decoder.exif_metadata() {
        Ok(Some(exif)) => Orientation::from_exif(&exif),
        Ok(None) | Err(_) => Orientation::UPRIGHT,
    }
}

/// Returns the pixels of a decoder that has read its header; alpha is dropped.
pub(super) fn read(decoder: impl ImageDecoder, file: File<'_>) -> Result<DecodedImage, DecodeError> {
    let color = decoder.color_type();
    let (width, height, samples) = samples(decoder, file)?;
    Ok(DecodedImage { height, width, pixels: bgr_of(color, samples)? })
}

/// Width, height and samples as they are decoded.
pub(super) fn samples(
    mut decoder: impl ImageDecoder,
    file: File<'_>,
) -> Result<(usize, usize, Vec<u8>), DecodeError> {
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    file.limits.check(width, height)?;
    decoder.set_limits(memory_limits(width, height)).map_err(fault)?;
    let mut samples = vec![0; width * height * usize::from(decoder.color_type().bytes_per_pixel())];
    decoder.read_image(&mut samples).map_err(fault)?;
    Ok((width, height, samples))
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the decoder's own set, which may grow: the rest is refused"
)]
fn bgr_of(color: ColorType, mut samples: Vec<u8>) -> Result<Vec<u8>, DecodeError> {
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
        other => return Err(DecodeError::Undecodable(format!("unsupported colour type {other:?}"))),
    })
}

/// The upper bytes of 16-bit samples: OpenCV makes libpng drop the lower ones.
fn high_bytes(samples: &[u8]) -> Vec<u8> {
    samples
        .chunks_exact(2)
        .map(|sample| u16::from_ne_bytes([sample[0], sample[1]]).to_be_bytes()[0])
        .collect()
}

/// Converts a decoder's error.
pub(super) fn fault(cause: image::ImageError) -> DecodeError {
    if let image::ImageError::Unsupported(cause) = &cause {
        return DecodeError::Undecodable(format!("unsupported variant ({cause})"));
    }
    if let image::ImageError::IoError(cause) = &cause
        && cause.kind() == ErrorKind::UnexpectedEof
    {
        return DecodeError::undecodable("it is truncated");
    }
    DecodeError::Undecodable(format!("corrupt data ({cause})"))
}
