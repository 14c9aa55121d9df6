//! GIF, the first frame.

use image::codecs::gif::GifDecoder;

use super::{DecodeError, DecodedImage, File, Reader, channels, raster};

pub(super) fn decode(file: File<'_>) -> Result<DecodedImage, DecodeError> {
    let reader = file.wanted.reader;
    let decoder = GifDecoder::new(file.source()).map_err(raster::fault)?;
    let frame = Frame::first(file.bytes);
    let (width, height, mut samples) = raster::samples(decoder, file)?;
    let frame = frame.ok_or_else(|| DecodeError::undecodable("it is truncated"))?;
    if !frame.lies_in(width, height) {
        return Err(reader.refuses("a frame larger than its canvas as the other frameworks do"));
    }
    match reader {
        Reader::OpenCv => {
            if global_palette(file.bytes).is_some_and(|palette| color(palette, file.bytes[11]).is_none()) {
                return Err(reader.refuses("GIF whose background is not in its palette"));
            }
            let background = background(file.bytes);
            for pixel in samples.chunks_exact_mut(4).filter(|pixel| pixel[3] == 0) {
                pixel[..3].copy_from_slice(&background);
            }
        }
        Reader::Pillow => {
            frame.fill(&mut samples, (width, height));
        }
        Reader::Tensorflow => {
            if file.wanted.is_gray {
                return Err(reader.refuses("GIF as grey"));
            }
            for pixel in samples.chunks_exact_mut(4).filter(|pixel| pixel[3] == 0) {
                pixel.fill(0);
            }
            // Its image has the size of the frame; here the frame is placed on the canvas.
            let rows = samples.chunks_exact(width * 4).take(frame.height);
            samples = rows.flat_map(|row| &row[..frame.width * 4]).copied().collect();
            return Ok(DecodedImage {
                height: frame.height,
                width: frame.width,
                pixels: channels::from_rgb::<4>(&samples),
            });
        }
    }
    Ok(DecodedImage { height, width, pixels: channels::from_rgb::<4>(&samples) })
}

/// The red, green and blue of transparent pixels and of the canvas around a smaller first frame: the header's
/// background index in the global palette, black without one.
fn background(bytes: &[u8]) -> [u8; 3] {
    let index = bytes.get(11).copied().unwrap_or(0);
    global_palette(bytes).and_then(|palette| color(palette, index)).unwrap_or_default()
}

fn global_palette(bytes: &[u8]) -> Option<&[u8]> {
    palette(bytes, 13, *bytes.get(10)?)
}

/// Returns the palette at a position, if the flags say that there is one.
fn palette(bytes: &[u8], at: usize, flags: u8) -> Option<&[u8]> {
    if flags & 0x80 == 0 {
        return None;
    }
    bytes.get(at..at + (6 << (flags & 7)))
}

fn color(palette: &[u8], index: u8) -> Option<[u8; 3]> {
    palette.chunks_exact(3).nth(usize::from(index))?.try_into().ok()
}

/// The position of the first frame on the canvas, and its transparent colour.
struct Frame {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
    /// Of the transparent index, of the first one if there is none.
    empty: [u8; 3],
}

impl Frame {
    /// Skips the extensions before it (GIF89a, sections 20 and 23).
    fn first(bytes: &[u8]) -> Option<Self> {
        let global = global_palette(bytes);
        let mut at = 13 + global.map_or(0, <[u8]>::len);
        let mut transparent = None;
        loop {
            match *bytes.get(at)? {
                0x21 => {
                    if let Some([0xf9, 4, flags, _, _, index]) = bytes.get(at + 1..at + 7) {
                        transparent = (flags & 1 == 1).then_some(*index);
                    }
                    at += 2;
                    while *bytes.get(at)? != 0 {
                        at += 1 + usize::from(bytes[at]);
                    }
                    at += 1;
                }
                0x2c => {
                    let field = |from: usize| {
                        Some(usize::from(u16::from_le_bytes([
                            *bytes.get(at + from)?,
                            *bytes.get(at + from + 1)?,
                        ])))
                    };
                    let own = palette(bytes, at + 10, *bytes.get(at + 9)?).or(global);
                    let empty = own.and_then(|palette| color(palette, transparent.unwrap_or(0)));
                    return Some(Self {
                        left: field(1)?,
                        top: field(3)?,
                        width: field(5)?,
                        height: field(7)?,
                        empty: empty.unwrap_or_default(),
                    });
                }
                0x3b => return None,
                // A block.
                _ => at += 1,
            }
        }
    }

    fn lies_in(&self, width: usize, height: usize) -> bool {
        self.left + self.width <= width && self.top + self.height <= height
    }

    /// Sets the colour of transparent pixels and of the canvas around the frame.
    fn fill(&self, samples: &mut [u8], (width, height): (usize, usize)) {
        for (y, row) in samples.chunks_exact_mut(width * 4).take(height).enumerate() {
            for (x, pixel) in row.chunks_exact_mut(4).enumerate() {
                let is_inside = (self.top..self.top + self.height).contains(&y)
                    && (self.left..self.left + self.width).contains(&x);
                if !is_inside || pixel[3] == 0 {
                    pixel[..3].copy_from_slice(&self.empty);
                }
            }
        }
    }
}
