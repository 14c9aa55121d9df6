//! JPEG: baseline, extended and progressive; grey, YCbCr, RGB, CMYK and YCCK.

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;

use super::orientation::Orientation;
use super::{DecodeLimits, DecodedImage, Fault, Turning, Wanted, channels};

mod reduced;

/// The picture as it is stored, but for its size, and how it is to be turned.
pub(super) fn decode(
    bytes: &[u8],
    limits: &DecodeLimits,
    wanted: &Wanted<'_>,
) -> Result<(DecodedImage, Orientation), Fault> {
    let file = Structure::of(bytes);
    if let Some((width, height)) = file.size {
        limits.check(width, height)?;
    }
    let coded = file.coded?;
    match pixels_of(&guarded(coded), limits, Strictness::Strict, wanted) {
        // Worth a second try: harmless bytes between two segments, and a lost restart marker, behind
        // which decoders find their way again at the next.
        Err(Fault::Undecodable(fact)) if file.restarts || fact.contains("Extra bytes between headers") => {
            pixels_of(coded, limits, Strictness::Lenient, wanted)
        }
        outcome => outcome,
    }
}

/// The picture with bits before its end marker that no Huffman code begins with, 16 ones in a row.
///
/// The decoder takes zeros where data is missing, and they decode to something. Sound data ends before
/// the guard; one that stops early runs into it, which is an error.
fn guarded(coded: &[u8]) -> Vec<u8> {
    const GUARD: [u8; 64] = {
        let mut bytes = [0xff; 64];
        let mut stuffing = 1;
        while stuffing < bytes.len() {
            bytes[stuffing] = 0;
            stuffing += 2;
        }
        bytes
    };
    let (data, end_marker) = coded.split_at(coded.len() - 2);
    [data, &GUARD, end_marker].concat()
}

/// Whether a file is whole and within the limits, without decoding it.
pub(super) fn check(bytes: &[u8], limits: &DecodeLimits) -> Result<(), Fault> {
    let coded = Structure::of(bytes).coded?;
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(coded), options(Strictness::Lenient));
    decoder.decode_headers().map_err(fault)?;
    let (width, height) = decoder.dimensions().ok_or_else(|| Fault::undecodable("it has no frame header"))?;
    limits.check(width, height)
}

/// How the decoder takes damage. Lenient, it fills what is missing with grey and says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strictness {
    Strict,
    Lenient,
}

fn pixels_of(
    coded: &[u8],
    limits: &DecodeLimits,
    strictness: Strictness,
    wanted: &Wanted<'_>,
) -> Result<(DecodedImage, Orientation), Fault> {
    let options = options(strictness);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(coded), options);
    decoder.decode_headers().map_err(fault)?;
    let (width, height) = decoder.dimensions().ok_or_else(|| Fault::undecodable("it has no frame header"))?;
    limits.check(width, height)?;
    let stored = decoder.input_colorspace().ok_or_else(|| Fault::undecodable("it has no frame header"))?;
    let coding = Coding::of(stored)?;
    let orientation_by =
        |exif: Option<&Vec<u8>>| exif.map_or(Orientation::UPRIGHT, |exif| Orientation::from_exif(exif));
    // Only sound data is decoded so: what the other decoder refuses is decoded in full, or is an error there.
    if strictness == Strictness::Strict && matches!(coding, Coding::Gray | Coding::YCbCr) {
        let orientation = orientation_by(decoder.exif());
        let divisor = match wanted.turning {
            Turning::Upright if orientation.is_transposed() => (wanted.divisor)(width, height),
            Turning::Upright | Turning::AsStored => (wanted.divisor)(height, width),
        };
        let [width, height] = [width, height].map(|side| side.div_ceil(divisor));
        if divisor > 1
            && let Some(image) = reduced::pixels(coded, width, height)
        {
            return Ok((image, orientation));
        }
    }
    // The decoder's own ways from CMYK to RGB differ from OpenCV's, so all but YCbCr comes as stored.
    let wanted = if coding == Coding::YCbCr { ColorSpace::BGR } else { stored };
    decoder.set_options(options.jpeg_set_out_colorspace(wanted));
    let mut samples = decoder.decode().map_err(fault)?;
    let orientation = orientation_by(decoder.exif());
    let pixels = match coding {
        Coding::Gray => channels::from_gray(samples.into_iter()),
        Coding::YCbCr => samples,
        Coding::Rgb => {
            channels::reverse(&mut samples);
            samples
        }
        Coding::Cmyk => from_cmyk(&samples),
        Coding::Ycck => {
            samples.chunks_exact_mut(4).for_each(ycck_to_cmyk);
            from_cmyk(&samples)
        }
    };
    if pixels.len() != width * height * 3 {
        return Err(Fault::undecodable("corrupt data"));
    }
    Ok((DecodedImage { height, width, pixels }, orientation))
}

fn options(strictness: Strictness) -> DecoderOptions {
    DecoderOptions::default()
        .set_strict_mode(strictness == Strictness::Strict)
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX)
        // Chosen while the headers are read, and kept: a later order for BGR would give RGB.
        .jpeg_set_out_colorspace(ColorSpace::BGR)
}

fn fault(cause: DecodeErrors) -> Fault {
    if let DecodeErrors::Unsupported(scheme) = cause {
        return Fault::Undecodable(format!("unsupported variant {scheme:?}"));
    }
    Fault::Undecodable(format!("corrupt data ({cause:?})"))
}

/// How the components of a file make a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Gray,
    YCbCr,
    Rgb,
    Cmyk,
    Ycck,
}

impl Coding {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the decoder's own set, which may grow: the rest is refused"
    )]
    fn of(stored: ColorSpace) -> Result<Self, Fault> {
        Ok(match stored {
            ColorSpace::Luma => Self::Gray,
            ColorSpace::YCbCr => Self::YCbCr,
            ColorSpace::RGB => Self::Rgb,
            ColorSpace::CMYK => Self::Cmyk,
            ColorSpace::YCCK => Self::Ycck,
            other => return Err(Fault::Undecodable(format!("unsupported colour space {other:?}"))),
        })
    }
}

/// Inverted CMYK, as Adobe's programs write it, the way OpenCV makes BGR of it.
fn from_cmyk(samples: &[u8]) -> Vec<u8> {
    let mut pixels = vec![0; samples.len() / 4 * 3];
    for (to, from) in pixels.chunks_exact_mut(3).zip(samples.chunks_exact(4)) {
        let black = i32::from(from[3]);
        for (channel, ink) in [2, 1, 0].into_iter().zip(&from[..3]) {
            let level = black - (((255 - i32::from(*ink)) * black) >> 8);
            to[channel] = u8::try_from(level).unwrap_or(0);
        }
    }
    pixels
}

/// Stored as what the inks leave of the light.
fn ycck_to_cmyk(pixel: &mut [u8]) {
    let [red, green, blue] = channels::rgb_of_ycbcr([pixel[0], pixel[1], pixel[2]]);
    pixel[..3].copy_from_slice(&[255 - red, 255 - green, 255 - blue]);
}

/// What the segments say, found without decoding any.
struct Structure<'a> {
    /// Width and height of the frame, where a frame header was reached.
    size: Option<(usize, usize)>,
    /// Whether restart markers are announced.
    restarts: bool,
    /// The picture's bytes up to its end marker; what follows that is none of it.
    coded: Result<&'a [u8], Fault>,
}

impl<'a> Structure<'a> {
    /// Walks from segment to segment, so that a thumbnail's end marker inside one is not taken for the
    /// picture's.
    fn of(bytes: &'a [u8]) -> Self {
        let (mut size, mut restarts) = (None, false);
        let end = Self::walk(bytes, |marker, segment| match marker {
            // Frame headers, without the tables (C4, C8, CC) that stand among them.
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => size = size.or(frame_size(segment)),
            0xdd => restarts = true,
            _ => (),
        });
        let truncated =
            || Fault::undecodable("it is truncated: the data ends before the end-of-image marker");
        Self { size, restarts, coded: end.and_then(|end| bytes.get(..end)).ok_or_else(truncated) }
    }

    /// The index behind the end marker; `None` when the bytes end first.
    fn walk(bytes: &[u8], mut told: impl FnMut(u8, &[u8])) -> Option<usize> {
        let mut at = 2;
        loop {
            // Entropy-coded data, and what strays between segments, goes up to the next marker.
            at += bytes.get(at..)?.iter().position(|byte| *byte == 0xff)?;
            let marker = *bytes.get(at + 1)?;
            match marker {
                // A fill byte: the marker may begin with the next.
                0xff => at += 1,
                // A stuffed byte, a restart or a reserved marker without a length.
                0x00..=0x01 | 0xd0..=0xd8 => at += 2,
                0xd9 => return Some(at + 2),
                _ => {
                    let segment = bytes.get(at + 2..)?;
                    let length = usize::from(u16::from_be_bytes([*segment.first()?, *segment.get(1)?]));
                    told(marker, segment);
                    at += 2 + length.max(2);
                }
            }
        }
    }
}

/// Width and height, from a frame header's length field on.
fn frame_size(segment: &[u8]) -> Option<(usize, usize)> {
    let side = |at: usize| Some(usize::from(u16::from_be_bytes([*segment.get(at)?, *segment.get(at + 1)?])));
    Some((side(5)?, side(3)?))
}
