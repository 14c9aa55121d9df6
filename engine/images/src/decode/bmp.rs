//! BMP: with a palette, with 16, 24 or 32 bits per pixel, or run-length encoded.

use image::ImageDecoder;
use image::codecs::bmp::BmpDecoder;

use super::{DecodeError, DecodedImage, File, Reader, channels, raster};

mod runs;

/// Run lengths may skip pixels, so a few bytes could declare any number of them. Real images have more than one byte
/// for this many pixels, except small ones.
const PIXELS_PER_BYTE: usize = 128;
const SMALL: usize = 1 << 20;

pub(super) fn decode(file: File<'_>) -> Result<DecodedImage, DecodeError> {
    let header = Header::of(file.bytes);
    let mut decoder = BmpDecoder::new(file.source()).map_err(raster::fault)?;
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    file.limits.check(width, height)?;
    file.meter.allow_pixels(width, height);
    let may_have = SMALL + PIXELS_PER_BYTE * file.bytes.len();
    if header.has_run_lengths() && width * height > may_have {
        let bytes = file.bytes.len();
        return Err(DecodeError::Undecodable(format!(
            "corrupt data ({bytes} bytes claim to be {width}x{height} pixels, expected at most {may_have} in all)"
        )));
    }
    if file.wanted.reader == Reader::Tensorflow {
        header.check_for_tensorflow(file)?;
        // It uses the palette's indices as grey.
        if header.depth == 8 {
            decoder.set_indexed_color(true);
            let (width, height, samples) = raster::samples(decoder, file)?;
            return Ok(DecodedImage { height, width, pixels: channels::from_gray(samples.into_iter()) });
        }
    }
    let reader = file.wanted.reader;
    if header.depth == 2 {
        return Err(reader.refuses("BMP of 2 bits"));
    }
    let has_its_masks = match reader {
        Reader::OpenCv => header.has_masks_of_opencv(),
        Reader::Pillow => header.has_masks_of_pillow(),
        Reader::Tensorflow => true,
    };
    if !has_its_masks {
        return Err(reader.refuses("BMP with these masks of bits"));
    }
    if header.has_run_lengths() && !runs::are_whole(file.bytes, (width, height), header.compression) {
        return Err(DecodeError::undecodable("unsupported variant (run lengths that leave pixels out)"));
    }
    let mut image = raster::read(decoder, file)?;
    if let Some(kept) = header.bits_kept() {
        for pixel in image.pixels.chunks_exact_mut(3) {
            for (value, mask) in pixel.iter_mut().zip(kept) {
                *value = widened(*value & mask, mask, file.wanted.reader);
            }
        }
    }
    Ok(image)
}

/// OpenCV widens five and six bits to eight by a shift. Pillow scales them to 0 to 255, rounding down; the decoder
/// rounds to nearest.
fn widened(value: u8, mask: u8, reader: Reader) -> u8 {
    match reader {
        Reader::OpenCv | Reader::Tensorflow => value,
        Reader::Pillow => {
            let most = u16::from(mask >> mask.trailing_zeros());
            let value = u16::from(value >> mask.trailing_zeros());
            u8::try_from(value * 255 / most).unwrap_or(u8::MAX)
        }
    }
}

/// Of red, green and blue in 16 bits.
const MASKS_OF_WORDS: [[u32; 3]; 2] = [[0xf800, 0x07e0, 0x1f], [0x7c00, 0x03e0, 0x1f]];
/// Of red, green, blue and alpha: `SUPPORTED` in Pillow's `BmpImagePlugin.py`.
const MASKS_OF_PILLOW: [[u32; 4]; 7] = [
    [0x00ff_0000, 0xff00, 0xff, 0],
    [0xff00_0000, 0x00ff_0000, 0xff00, 0],
    [0xff00_0000, 0xff00, 0xff, 0],
    [0xff00_0000, 0x00ff_0000, 0xff00, 0xff],
    [0xff, 0xff00, 0x00ff_0000, 0xff00_0000],
    [0x00ff_0000, 0xff00, 0xff, 0xff00_0000],
    [0xff00_0000, 0xff00, 0xff, 0x00ff_0000],
];

/// The header's fields, 0 where it is too short.
struct Header {
    /// Bytes of the header.
    bytes: u16,
    /// Bits per pixel.
    depth: u16,
    compression: u16,
    /// Masks of red, green and blue, if the compression uses masks.
    masks: [u32; 3],
    /// Mask of alpha, which only longer headers have.
    alpha_mask: u32,
}

impl Header {
    fn of(bytes: &[u8]) -> Self {
        let field =
            |at: usize| bytes.get(at..at + 2).map_or(0, |field| u16::from_le_bytes([field[0], field[1]]));
        let mask = |at: usize| u32::from(field(at + 2)) << 16 | u32::from(field(at));
        // The older header is shorter and has the depth elsewhere.
        let depth = if field(14) < 40 { field(24) } else { field(28) };
        let compression = if field(14) < 40 { 0 } else { field(30) };
        let alpha_mask = if field(14) < 56 { 0 } else { mask(66) };
        Self { bytes: field(14), depth, compression, masks: [54, 58, 62].map(mask), alpha_mask }
    }

    fn has_run_lengths(&self) -> bool {
        matches!(self.compression, 1 | 2)
    }

    /// For 16 bits per pixel, the bits of blue, green and red that the file has.
    fn bits_kept(&self) -> Option<[u8; 3]> {
        let six_bits_of_green = self.compression == 3 && self.masks[1] == 0x07e0;
        (self.bytes >= 40 && self.depth == 16).then_some([
            0xf8,
            if six_bits_of_green { 0xfc } else { 0xf8 },
            0xf8,
        ])
    }

    fn has_masks_of_opencv(&self) -> bool {
        match (self.compression, self.depth, self.bytes) {
            (3, 16, bytes) => bytes == 40 && MASKS_OF_WORDS.contains(&self.masks),
            // It ignores masks after the usual header.
            (3, 32, 40) => self.masks == [0xff_0000, 0xff00, 0xff],
            (3, 32, _) => self.masks.iter().all(|mask| mask >> mask.trailing_zeros().min(31) == 0xff),
            _ => true,
        }
    }

    fn has_masks_of_pillow(&self) -> bool {
        let [red, green, blue] = self.masks;
        match (self.compression, self.depth) {
            (3, 16) => MASKS_OF_WORDS.contains(&self.masks),
            (3, 32) => MASKS_OF_PILLOW.contains(&[red, green, blue, self.alpha_mask]),
            _ => true,
        }
    }

    fn check_for_tensorflow(&self, file: File<'_>) -> Result<(), DecodeError> {
        let refuses = |what: &str| Err(Reader::Tensorflow.refuses(what));
        let is_usual = self.compression == 0 || self.masks == [0xff_0000, 0xff00, 0xff];
        match self.depth {
            _ if file.wanted.is_gray => refuses("BMP as grey"),
            8 | 24 | 32 if self.bytes >= 40 && is_usual && !self.has_run_lengths() => Ok(()),
            depth => refuses(&format!(
                "BMP of {depth} bits with this header and compression, only plain ones of 8, 24 or 32"
            )),
        }
    }
}
