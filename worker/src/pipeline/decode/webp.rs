//! WebP, lossy and lossless; of an animation the first frame.

use std::io::Cursor;

use image::codecs::webp::WebPDecoder;

use super::orientation::Orientation;
use super::{DecodeLimits, DecodedImage, Fault, raster};

pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<(DecodedImage, Orientation), Fault> {
    check_frames(bytes, limits)?;
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(raster::fault)?;
    // The decoder takes as much memory for the orientation's chunk as that claims to hold.
    let orientation =
        if is_whole(bytes) { raster::orientation_of(&mut decoder) } else { Orientation::UPRIGHT };
    Ok((raster::read(decoder, limits)?, orientation))
}

const CHUNK_HEADER: usize = 8;

/// The name of the chunk that begins there, and how many bytes it claims to hold behind its header.
fn chunk_at(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let header = bytes.get(at..)?.first_chunk::<CHUNK_HEADER>()?;
    Some((&header[..4], u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize))
}

/// Whether every chunk of the file lies within it.
fn is_whole(bytes: &[u8]) -> bool {
    let mut at = 12;
    while let Some((_, size)) = chunk_at(bytes, at) {
        let end = (at + CHUNK_HEADER).saturating_add(size);
        if end > bytes.len() {
            return false;
        }
        at = end + size % 2;
    }
    true
}

/// A lossy frame says its size itself, and the decoder takes memory for it before it finds that the
/// canvas is smaller. A canvas of 2^32 pixels is corrupt to the decoder, not too large.
fn check_frames(bytes: &[u8], limits: &DecodeLimits) -> Result<(), Fault> {
    const FRAME_HEADER: usize = 16;
    let mut at = 12;
    while let Some((name, size)) = chunk_at(bytes, at) {
        let body = at + CHUNK_HEADER;
        at = match name {
            // Its own chunks follow the frame's header; they are walked like the others.
            b"ANMF" => body + FRAME_HEADER,
            _ => body.saturating_add(size).saturating_add(size % 2),
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
