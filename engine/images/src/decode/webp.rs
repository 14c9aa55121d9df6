//! WebP, lossy and lossless; of an animation the first frame.

use image::ImageDecoder;
use image::codecs::webp::WebPDecoder;

use super::orientation::Orientation;
use super::source::Source;
use super::{DecodeError, DecodeLimits, DecodedImage, File, Reader, raster};

pub(super) fn decode(file: File<'_>) -> Result<(DecodedImage, Orientation), DecodeError> {
    check_frames(file.bytes, file.limits)?;
    let mut decoder = WebPDecoder::new(file.source()).map_err(raster::fault)?;
    if file.wanted.reader == Reader::Tensorflow {
        let refuses = |what: &str| Err(Reader::Tensorflow.refuses(what));
        if file.wanted.is_gray {
            return refuses("WebP as grey");
        } else if decoder.has_animation() {
            return refuses("an animated WebP for a model of three channels");
        } else if decoder.color_type().has_alpha() {
            return refuses("WebP with alpha for a model of three channels");
        }
    }
    // The decoder allocates as much memory for the EXIF chunk as its header declares.
    let is_whole = is_whole(file.bytes);
    let orientation = if is_whole { raster::orientation_of(&mut decoder) } else { Orientation::UPRIGHT };
    if decoder.has_animation() {
        if !is_whole {
            return Err(DecodeError::undecodable("it is truncated"));
        }
        return Ok((first_frame(decoder, file)?, orientation));
    }
    Ok((raster::read(decoder, file)?, orientation))
}

/// As libwebp draws it: on an empty canvas, without blending.
fn first_frame(animation: WebPDecoder<Source<'_>>, file: File<'_>) -> Result<DecodedImage, DecodeError> {
    let (width, height) = animation.dimensions();
    let (width, height) = (width as usize, height as usize);
    let frame = Frame::first(file.bytes).ok_or_else(|| DecodeError::undecodable("it is truncated"))?;
    let still = frame.as_file();
    let decoder = WebPDecoder::new(Source::new(&still, file.meter)).map_err(raster::fault)?;
    let image = raster::read(decoder, file)?;
    if frame.left + image.width > width || frame.top + image.height > height {
        return Err(DecodeError::undecodable("corrupt data (a frame that is larger than its canvas)"));
    }
    file.limits.check(width, height)?;
    let mut pixels = vec![0; width * height * 3];
    for (row, from) in
        pixels.chunks_exact_mut(width * 3).skip(frame.top).zip(image.pixels.chunks_exact(image.width * 3))
    {
        row[frame.left * 3..][..from.len()].copy_from_slice(from);
    }
    Ok(DecodedImage { height, width, pixels })
}

/// The position of the first frame of an animation on the canvas, and its chunks.
struct Frame<'a> {
    left: usize,
    top: usize,
    /// Width and height less one, 24 bits each.
    sides: &'a [u8],
    chunks: &'a [u8],
}

impl<'a> Frame<'a> {
    fn first(bytes: &'a [u8]) -> Option<Self> {
        let mut at = 12;
        while let Some((name, size)) = chunk_at(bytes, at) {
            if name == b"ANMF" {
                let body = bytes.get(at + CHUNK_HEADER..)?.get(..size)?;
                let (head, chunks) = body.split_at_checked(FRAME_HEADER)?;
                let twice = |field: &[u8]| 2 * u32::from_le_bytes([field[0], field[1], field[2], 0]) as usize;
                return Some(Self {
                    left: twice(&head[..3]),
                    top: twice(&head[3..6]),
                    sides: &head[6..12],
                    chunks,
                });
            }
            at = behind(at, size);
        }
        None
    }

    /// Returns a file with this frame alone.
    fn as_file(&self) -> Vec<u8> {
        const ALPHA: u8 = 0x10;
        let flags = if self.chunks.starts_with(b"ALPH") { ALPHA } else { 0 };
        let size = u32::try_from(22 + self.chunks.len()).unwrap_or(u32::MAX).to_le_bytes();
        [b"RIFF", &size[..], b"WEBPVP8X", &[10, 0, 0, 0, flags, 0, 0, 0], self.sides, self.chunks].concat()
    }
}

const CHUNK_HEADER: usize = 8;
/// The header of an animation's frame, before its own chunks.
const FRAME_HEADER: usize = 16;

/// Returns the name of the chunk at this position, and the declared length of its body.
fn chunk_at(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let header = bytes.get(at..)?.first_chunk::<CHUNK_HEADER>()?;
    Some((&header[..4], u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize))
}

/// Returns where the next chunk begins: bodies are padded to an even length.
fn behind(at: usize, size: usize) -> usize {
    at.saturating_add(CHUNK_HEADER).saturating_add(size).saturating_add(size % 2)
}

/// Returns whether every chunk of the file is complete.
fn is_whole(bytes: &[u8]) -> bool {
    let mut at = 12;
    while let Some((_, size)) = chunk_at(bytes, at) {
        if (at + CHUNK_HEADER).saturating_add(size) > bytes.len() {
            return false;
        }
        at = behind(at, size);
    }
    true
}

/// A lossy frame declares its own size, and the decoder allocates memory for it before it finds that the canvas is
/// smaller. A canvas of 2^32 pixels is corrupt to the decoder, not too large.
fn check_frames(bytes: &[u8], limits: &DecodeLimits) -> Result<(), DecodeError> {
    let mut at = 12;
    while let Some((name, size)) = chunk_at(bytes, at) {
        let body = at + CHUNK_HEADER;
        at = match name {
            // Its own chunks follow the frame's header; they are walked like the others.
            b"ANMF" => body + FRAME_HEADER,
            _ => behind(at, size),
        };
        let size = match (name, bytes.get(body..body + 10)) {
            (b"VP8 ", Some(frame)) => {
                let side = |low: u8, high: u8| usize::from(u16::from_le_bytes([low, high]) & 0x3fff);
                (side(frame[6], frame[7]), side(frame[8], frame[9]))
            }
            (b"VP8X", Some(canvas)) => {
                let side = |field: &[u8]| 1 + u32::from_le_bytes([field[0], field[1], field[2], 0]) as usize;
                (side(&canvas[4..7]), side(&canvas[7..10]))
            }
            _ => continue,
        };
        limits.check(size.0, size.1)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_that_claims_more_than_the_file_has_is_found() {
        let file = |claimed: u32| {
            let header =
                [b"RIFF\0\0\0\0WEBPVP8L\x03\0\0\0abc\0EXIF".as_slice(), &claimed.to_le_bytes(), b"data"];
            header.concat()
        };
        for (claimed, whole) in [(0, true), (4, true), (5, false), (1_224_736_794, false), (u32::MAX, false)]
        {
            assert_eq!(is_whole(&file(claimed)), whole, "{claimed}");
        }
    }
}
