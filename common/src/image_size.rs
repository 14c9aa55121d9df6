//! Reads an image's dimensions from its header, without decoding it.
//!
//! This bounds the cost of an image in advance. A worker decodes at most as many pixels as the header declares,
//! whatever else the file contains: see [`UNDECLARED`].

/// Pixels that a file without a readable header may have.
pub const UNDECLARED: u64 = 1 << 20;

/// Segments of a JPEG that are read. Photographs have up to a few hundred before the image data.
const MAX_SEGMENTS: usize = 4_096;
/// Entries of a TIFF's directory that are read.
const MAX_ENTRIES: usize = 4_096;

/// Returns the pixels that an image's header declares; `None` if the bytes are not a known image, or too short.
#[must_use]
pub fn declared_pixels(bytes: &[u8]) -> Option<u64> {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    let (width, height) = if starts(b"\xff\xd8") {
        jpeg(bytes)?
    } else if starts(b"\x89PNG") {
        (u64::from(big(bytes, 16)?), u64::from(big(bytes, 20)?))
    } else if starts(b"GIF8") {
        (u64::from(little_short(bytes, 6)?), u64::from(little_short(bytes, 8)?))
    } else if starts(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        webp(bytes)?
    } else if starts(b"BM") {
        bmp(bytes)?
    } else if starts(b"II") || starts(b"MM") {
        tiff(bytes)?
    } else {
        return None;
    };
    Some(width.saturating_mul(height))
}

/// The largest frame before the first scan (ITU-T T.81, B.2.2).
fn jpeg(bytes: &[u8]) -> Option<(u64, u64)> {
    let (mut at, mut largest) = (2, None);
    for _ in 0..MAX_SEGMENTS {
        // Decoders accept any byte before a marker, and any number of fill bytes.
        at += bytes.get(at..)?.iter().position(|byte| *byte == 0xff)?;
        at += bytes.get(at..)?.iter().position(|byte| *byte != 0xff)?;
        let marker = bytes[at];
        match marker {
            0xda | 0xd9 => break,
            // A frame header: not a table of codes, an extension, or an arithmetic coder's.
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                let size = big_short(bytes, at + 6).zip(big_short(bytes, at + 4));
                let size = size.map(|(width, height)| (u64::from(width), u64::from(height)));
                largest = largest.max_by_pixels(size);
            }
            0x00 | 0x01 | 0xd0..=0xd8 => {
                at += 1;
                continue;
            }
            _ => {}
        }
        let Some(length) = big_short(bytes, at + 1) else { break };
        at += 1 + usize::from(length);
    }
    largest
}

trait Larger {
    fn max_by_pixels(self, other: Self) -> Self;
}

impl Larger for Option<(u64, u64)> {
    fn max_by_pixels(self, other: Self) -> Self {
        let pixels = |size: Self| size.map_or(0, |(width, height)| width * height);
        if pixels(other) >= pixels(self) { other } else { self }
    }
}

/// The canvas, or the frame if there is none (RFC 9649, section 2).
fn webp(bytes: &[u8]) -> Option<(u64, u64)> {
    let little_24 = |at| Some(u64::from(little_short(bytes, at)?) | u64::from(*bytes.get(at + 2)?) << 16);
    match bytes.get(12..16)? {
        b"VP8X" => Some((little_24(24)? + 1, little_24(27)? + 1)),
        b"VP8L" => {
            let packed = little(bytes, 21)?;
            Some((u64::from(packed & 0x3fff) + 1, u64::from(packed >> 14 & 0x3fff) + 1))
        }
        b"VP8 " => {
            let side = |at| Some(u64::from(little_short(bytes, at)? & 0x3fff));
            Some((side(26)?, side(28)?))
        }
        _ => None,
    }
}

fn bmp(bytes: &[u8]) -> Option<(u64, u64)> {
    if little(bytes, 14)? == 12 {
        return Some((u64::from(little_short(bytes, 18)?), u64::from(little_short(bytes, 20)?)));
    }
    // A negative height means that the rows run from the top.
    let side = |at| Some(u64::from(little(bytes, at)?.cast_signed().unsigned_abs()));
    Some((side(18)?, side(22)?))
}

/// The tags `ImageWidth` and `ImageLength` of the first directory (TIFF 6.0, section 2, and BigTIFF).
fn tiff(bytes: &[u8]) -> Option<(u64, u64)> {
    let number = |at: u64, width: usize| {
        let at = usize::try_from(at).ok()?;
        let field = bytes.get(at..at.checked_add(width)?)?;
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        let little = bytes.first() == Some(&b'I');
        Some(if little { field.iter().rev().fold(0, add) } else { field.iter().fold(0, add) })
    };
    let is_big = number(2, 2)? == 43;
    let (at, count_width, entry) = if is_big { (number(8, 8)?, 8, 20) } else { (number(4, 4)?, 2, 12) };
    let entries = usize::try_from(number(at, count_width)?).ok()?;
    let [mut width, mut height] = [None, None];
    for index in 0..entries.min(MAX_ENTRIES) {
        let at = at.checked_add(count_width as u64 + entry * index as u64)?;
        let (tag, kind) = (number(at, 2)?, number(at + 2, 2)?);
        let side = match tag {
            256 => &mut width,
            257 => &mut height,
            _ => continue,
        };
        let value_at = at + if is_big { 12 } else { 8 };
        let value = match kind {
            1 => number(value_at, 1),
            3 => number(value_at, 2),
            4 | 13 => number(value_at, 4),
            16 | 18 => number(value_at, 8),
            _ => None,
        };
        *side = (*side).max(value);
    }
    width.zip(height)
}

fn little(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn little_short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn big(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn big_short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_image_or_too_short_has_no_size() {
        for bytes in [&b""[..], b"x", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF89a", b"II*\0", b"RIFF"]
        {
            assert_eq!(declared_pixels(bytes), None, "{bytes:?}");
        }
        assert_eq!(declared_pixels(b"RIFF\0\0\0\0WEBPVP8X"), None);
    }

    #[test]
    fn of_several_frames_in_a_jpeg_the_largest_counts() {
        let frame = |side: u8| [0xff, 0xc0, 0, 8, 8, side, 0, side, 0, 0];
        let two = |first, second| [&[0xff, 0xd8][..], &frame(first), &frame(second), &[0xff, 0xda]].concat();
        assert_eq!(declared_pixels(&two(1, 2)), Some(512 * 512));
        assert_eq!(declared_pixels(&two(2, 1)), Some(512 * 512));
    }

    #[test]
    fn a_bmp_from_the_top_is_as_large_as_one_from_the_bottom() {
        let mut bytes = [b"BM", &[0; 12][..], &40_u32.to_le_bytes(), &3_i32.to_le_bytes()].concat();
        bytes.extend((-5_i32).to_le_bytes());
        assert_eq!(declared_pixels(&bytes), Some(15));
    }
}
