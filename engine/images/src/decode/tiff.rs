//! TIFF, first page, as libtiff's RGBA interface (which OpenCV uses) or Pillow reads it.

use std::io::{ErrorKind, Read, Seek};

use tiff::decoder::{BufferLayoutPreference, Decoder, DecodingResult, Limits};
use tiff::tags::Tag;
use tiff::{ColorType, TiffError};

use super::directory::Directory;
use super::orientation::Orientation;
use super::source::Source;
use super::{DecodeError, DecodedImage, File, Reader, channels, jpeg, memory_for};

mod page;

use self::page::Page;

const PHOTOMETRIC_INTERPRETATION: u16 = 262;
const BLACK_IS_ZERO: u16 = 1;
const PALETTE: u16 = 3;
/// Values of the tag `ExtraSamples` for premultiplied and for straight alpha.
const ASSOCIATED_ALPHA: u16 = 1;
const UNASSOCIATED_ALPHA: u16 = 2;
/// Value of the tag `Compression` for JPEG according to TIFF's second technical note.
const JPEG_COMPRESSION: u16 = 7;
/// Strips and tiles that are free, one for each row of the largest image. Each further one counts as this many bytes.
const FREE_PIECES: u64 = 32_768;
const BYTES_OF_A_PIECE: u64 = 256;

pub(super) fn decode(file: File<'_>) -> Result<(DecodedImage, Orientation), DecodeError> {
    let reader = file.wanted.reader;
    if reader == Reader::Tensorflow {
        return Err(reader.refuses("TIFF: send it as PNG"));
    }
    // The decoder refuses palettes, so it gets their indices as grey values.
    let directory = Directory::first(file.bytes)
        .filter(|directory| directory.short(PHOTOMETRIC_INTERPRETATION) == Some(PALETTE));
    let indices = directory.and_then(|d| d.with_short(PHOTOMETRIC_INTERPRETATION, BLACK_IS_ZERO));
    let source = Source::new(indices.as_deref().unwrap_or(file.bytes), file.meter);
    let mut decoder = Decoder::new(source).map_err(fault)?;
    let (width, height) = decoder.dimensions().map_err(fault)?;
    let (width, height) = (width as usize, height as usize);
    file.limits.check(width, height)?;
    file.meter.allow_pixels(width, height);
    let mut memory = Limits::default();
    memory.decoding_buffer_size = memory_for(width, height);
    memory.intermediate_buffer_size = memory_for(width, height);
    let mut decoder = decoder.with_limits(memory);
    check_pieces(&mut decoder, file)?;
    let page = Page::of(&mut decoder, file.bytes)?;
    if let Some(what) = page.unlike_others(file.wanted) {
        return Err(reader.refuses(what));
    }
    let orientation = decoder.find_tag_unsigned(Tag::Orientation).map_err(fault)?.unwrap_or(1);
    let layout = Layout {
        width,
        color: decoder.colortype().map_err(fault)?,
        palette: match indices {
            Some(_) => Some(decoder.get_tag_u16_vec(Tag::ColorMap).map_err(fault)?),
            None => None,
        },
        alpha: match (reader, &page.extra[..]) {
            // Pillow does not premultiply the colours.
            (Reader::OpenCv, [UNASSOCIATED_ALPHA]) => Alpha::Multiply,
            (Reader::Pillow, [ASSOCIATED_ALPHA]) => Alpha::Divide,
            _ => Alpha::Drop,
        },
        reader,
    };
    let mut samples = DecodingResult::U8(Vec::new());
    let planes = decoder.read_image_to_buffer(&mut samples).map_err(fault)?;
    file.meter.goes_on()?;
    let pixels = if let DecodingResult::U8(samples) = samples {
        layout.bgr_of_bytes(&interleaved(samples, &planes, 1))?
    } else if let DecodingResult::U16(samples) = samples {
        if reader == Reader::Pillow
            && planes.plane_stride.is_some_and(|stride| samples.len() * 2 > stride.get())
        {
            // It reads halves of samples as samples.
            return Err(reader.refuses("TIFF of 16 bits in planes as others do"));
        }
        layout.bgr_of_words(&interleaved(samples, &planes, 2))?
    } else {
        return Err(DecodeError::undecodable(
            "unsupported variant (samples are not unsigned integers of 1 to 16 bits)",
        ));
    };
    if pixels.len() != width * height * 3 {
        return Err(DecodeError::undecodable("corrupt data"));
    }
    Ok((DecodedImage { height, width, pixels }, Orientation::from_tag(orientation)))
}

/// Strips and tiles may all share the same bytes, be more than there are pixels, or be as small as one pixel.
/// JPEG-compressed ones are whole files except for shared tables: each may declare any size, or be truncated.
fn check_pieces<R: Read + Seek>(decoder: &mut Decoder<R>, file: File<'_>) -> Result<(), DecodeError> {
    let (width, height) = decoder.dimensions().map_err(fault)?;
    let (columns, rows) = decoder.chunk_dimensions();
    let mut numbers = |tag| decoder.find_tag_unsigned_vec::<u64>(tag).map_err(fault);
    let (offsets, sizes) = match (numbers(Tag::StripOffsets)?, numbers(Tag::StripByteCounts)?) {
        (Some(offsets), Some(sizes)) => (offsets, sizes),
        _ => (
            numbers(Tag::TileOffsets)?.unwrap_or_default(),
            numbers(Tag::TileByteCounts)?.unwrap_or_default(),
        ),
    };
    let count = offsets.len() as u64;
    file.meter.spend(count.saturating_sub(FREE_PIECES).saturating_mul(BYTES_OF_A_PIECE))?;
    let pixels = |columns: u32, rows: u32| u64::from(columns).saturating_mul(u64::from(rows));
    // A strip is as wide as the image, and may be lower than its header says.
    let given = count.saturating_mul(pixels(columns, rows.min(height)));
    let planes = 4;
    if given > planes * (4 * pixels(width, height) + (1 << 22)) {
        return Err(DecodeError::TooLarge(format!(
            "the image's {count} parts are {columns}x{rows} pixels each, the limit is four times {width}x{height} in all"
        )));
    }
    if decoder.find_tag_unsigned::<u16>(Tag::Compression).map_err(fault)? != Some(JPEG_COMPRESSION) {
        return Ok(());
    }
    let tables = decoder.find_tag_unsigned_vec::<u8>(Tag::JPEGTables).map_err(fault)?.unwrap_or_default();
    // Without the end marker of the tables and the start marker of the piece they are one file.
    let tables = tables.get(..tables.len().saturating_sub(2)).unwrap_or_default();
    for (offset, size) in offsets.into_iter().zip(sizes) {
        // All of it is read here and again when it is decoded.
        file.meter.spend(size.saturating_add(2 * tables.len() as u64))?;
        file.meter.goes_on()?;
        let range = usize::try_from(offset).ok().zip(usize::try_from(offset.saturating_add(size)).ok());
        let piece = range.and_then(|(start, end)| file.bytes.get(start..end));
        let piece = piece.ok_or_else(|| DecodeError::undecodable("it is truncated"))?;
        let cut = if tables.is_empty() { 0 } else { piece.len().min(2) };
        let (wide, high, scans) = jpeg::check(&[tables, &piece[cut..]].concat(), file.limits)?;
        if wide > columns as usize || high > (rows as usize).next_multiple_of(16) {
            return Err(DecodeError::Undecodable(format!(
                "corrupt data (a part is {wide}x{high} pixels, expected {columns}x{rows})"
            )));
        }
        file.meter.scan(wide as u64 * high as u64, scans)?;
    }
    Ok(())
}

/// How alpha is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alpha {
    Drop,
    /// The colours are multiplied by it.
    Multiply,
    /// The colours were multiplied by it; this is undone.
    Divide,
}

/// The meaning of a page's samples.
struct Layout {
    width: usize,
    color: ColorType,
    palette: Option<Vec<u16>>,
    alpha: Alpha,
    reader: Reader,
}

impl Layout {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the decoder's own set, which may grow: the rest is refused"
    )]
    fn bgr_of_bytes(&self, samples: &[u8]) -> Result<Vec<u8>, DecodeError> {
        Ok(match self.color {
            ColorType::Gray(bits @ 2..=7) if self.reader == Reader::OpenCv && self.palette.is_none() => {
                return Err(self.reader.refuses(&format!("TIFF of {bits} bits of grey")));
            }
            ColorType::Gray(bits @ 1..=8) => {
                let values = self.unpacked(samples, bits);
                match &self.palette {
                    Some(palette) => self.looked_up(palette, &values, bits)?,
                    None => channels::from_gray(values.iter().map(|value| widened(*value, bits))),
                }
            }
            ColorType::Multiband { bit_depth: 8, num_samples: 2 } => {
                channels::from_gray(samples.chunks_exact(2).map(|pixel| pixel[0]))
            }
            ColorType::RGB(8) => channels::from_rgb::<3>(samples),
            ColorType::RGBA(8) => self.bgr_of_rgba(samples),
            ColorType::CMYK(8) if self.reader == Reader::Pillow => {
                let light = |inks: &[u8]| [0, 1, 2, 3].map(|ink| 255 - inks[ink]);
                samples.chunks_exact(4).flat_map(|inks| channels::bgr_of_light(light(inks))).collect()
            }
            ColorType::CMYK(8) => samples.chunks_exact(4).flat_map(from_cmyk).collect(),
            // Inside JPEG compression; subsampling is undone by then.
            ColorType::YCbCr(8) => samples.chunks_exact(3).flat_map(from_ycbcr).collect(),
            other => return Err(unsupported(other)),
        })
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the decoder's own set, which may grow: the rest is refused"
    )]
    fn bgr_of_words(&self, samples: &[u16]) -> Result<Vec<u8>, DecodeError> {
        // libtiff rounds colours and truncates grey. Pillow truncates colours, and makes nearly all grey white.
        let value = |sample: &u16| match self.reader {
            Reader::Pillow => sample.to_be_bytes()[0],
            Reader::OpenCv | Reader::Tensorflow => nearest(*sample),
        };
        let rounded = || samples.iter().map(value).collect::<Vec<_>>();
        Ok(match self.color {
            ColorType::Gray(16) if self.reader == Reader::Pillow => {
                channels::from_gray(samples.iter().map(|value| channels::clipped(*value)))
            }
            ColorType::Gray(16) => channels::from_gray(samples.iter().map(|value| value.to_be_bytes()[0])),
            ColorType::RGB(16) => channels::from_rgb::<3>(&rounded()),
            ColorType::RGBA(16) => self.bgr_of_rgba(&rounded()),
            other => return Err(unsupported(other)),
        })
    }

    fn bgr_of_rgba(&self, samples: &[u8]) -> Vec<u8> {
        let mut pixels = channels::from_rgb::<4>(samples);
        for (pixel, from) in pixels.chunks_exact_mut(3).zip(samples.chunks_exact(4)) {
            let alpha = u32::from(from[3]);
            match self.alpha {
                Alpha::Drop => return pixels,
                Alpha::Multiply => {
                    pixel.iter_mut().for_each(|value| *value = byte((u32::from(*value) * alpha + 127) / 255));
                }
                Alpha::Divide if alpha == 0 => (),
                Alpha::Divide => {
                    pixel.iter_mut().for_each(|value| *value = byte(u32::from(*value) * 255 / alpha));
                }
            }
        }
        pixels
    }

    /// Unpacks one value per byte; rows are padded to bytes.
    fn unpacked(&self, samples: &[u8], bits: u8) -> Vec<u8> {
        if bits == 8 {
            return samples.to_vec();
        }
        let bits = usize::from(bits);
        let mut values = Vec::with_capacity(samples.len() * 8 / bits);
        for row in samples.chunks_exact((self.width * bits).div_ceil(8)) {
            values.extend((0..self.width).map(|x| {
                (x * bits..(x + 1) * bits)
                    .fold(0, |value, bit| value << 1 | (row[bit / 8] >> (7 - bit % 8) & 1))
            }));
        }
        values
    }

    /// The palette has all reds, all greens, all blues, with 16 bits each, of which the upper byte counts.
    fn looked_up(&self, palette: &[u16], indices: &[u8], bits: u8) -> Result<Vec<u8>, DecodeError> {
        let colors = 1_usize << bits;
        // Some programs write 8 bits, which libtiff detects by looking at all of them.
        let is_narrow = self.reader == Reader::OpenCv && palette.iter().all(|value| *value < 256);
        if palette.len() < 3 * colors {
            let fact = format!("the palette has {} entries, expected {}", palette.len(), 3 * colors);
            return Err(DecodeError::Undecodable(fact));
        }
        let color = |index: &u8| {
            let byte = usize::from(is_narrow);
            [2, 1, 0].map(|channel| palette[channel * colors + usize::from(*index)].to_be_bytes()[byte])
        };
        Ok(indices.iter().flat_map(color).collect())
    }
}

fn interleaved<T: Copy>(samples: Vec<T>, layout: &BufferLayoutPreference, sample_bytes: usize) -> Vec<T> {
    let Some(stride) = layout.plane_stride.map(|stride| stride.get() / sample_bytes) else {
        return samples;
    };
    let planes = samples.len() / stride;
    if planes <= 1 {
        return samples;
    }
    (0..stride)
        .flat_map(|index| (0..planes).map(move |plane| (index, plane)))
        .map(|(index, plane)| samples[plane * stride + index])
        .collect()
}

fn from_cmyk(pixel: &[u8]) -> [u8; 3] {
    let white = 255 - u32::from(pixel[3]);
    [2, 1, 0].map(|ink| byte(white * (255 - u32::from(pixel[ink])) / 255))
}

fn from_ycbcr(pixel: &[u8]) -> [u8; 3] {
    let [red, green, blue] = channels::rgb_of_ycbcr([pixel[0], pixel[1], pixel[2]]);
    [blue, green, red]
}

/// Scales the full range of `bits` bits to 0 to 255.
fn widened(value: u8, bits: u8) -> u8 {
    byte(u32::from(value) * 255 / ((1_u32 << bits) - 1))
}

fn nearest(sample: u16) -> u8 {
    byte((u32::from(sample) + 128) / 257)
}

fn byte(value: u32) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}

fn unsupported(color: ColorType) -> DecodeError {
    DecodeError::Undecodable(format!("unsupported variant ({color:?})"))
}

fn fault(cause: TiffError) -> DecodeError {
    if let TiffError::UnsupportedError(cause) = &cause {
        return DecodeError::Undecodable(format!("unsupported variant ({cause})"));
    }
    if let TiffError::IoError(cause) = &cause
        && cause.kind() == ErrorKind::UnexpectedEof
    {
        return DecodeError::undecodable("it is truncated");
    }
    DecodeError::Undecodable(format!("corrupt data ({cause})"))
}
