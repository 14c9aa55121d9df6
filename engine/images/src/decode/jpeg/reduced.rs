//! Decodes a JPEG at a fraction of its size: the inverse transform gives 4, 2 or 1 pixels a side instead of 8.

use jpeg_decoder::{Decoder, PixelFormat};

use super::super::{DecodedImage, channels, memory_for};

/// Returns the image at this size; `None` if the decoder cannot reduce it, or finds the file corrupt.
pub(super) fn pixels(coded: &[u8], width: usize, height: usize) -> Option<DecodedImage> {
    let mut decoder = Decoder::new(coded);
    decoder.read_info().ok()?;
    let wanted = (u16::try_from(width).ok()?, u16::try_from(height).ok()?);
    // The decoder chooses the smallest size that is not below this one.
    if decoder.scale(wanted.0, wanted.1).ok()? != wanted {
        return None;
    }
    decoder.set_max_decoding_buffer_size(memory_for(width, height));
    let mut samples = decoder.decode().ok()?;
    let pixels = match decoder.info()?.pixel_format {
        PixelFormat::L8 => channels::from_gray(samples.into_iter()),
        PixelFormat::RGB24 => {
            channels::reverse(&mut samples);
            samples
        }
        PixelFormat::L16 | PixelFormat::CMYK32 => return None,
    };
    (pixels.len() == width * height * 3).then_some(DecodedImage { height, width, pixels })
}
