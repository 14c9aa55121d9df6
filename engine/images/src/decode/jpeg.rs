//! JPEG: baseline, extended and progressive; grey, YCbCr, RGB, CMYK and YCCK.

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;

use super::orientation::Orientation;
use super::{DecodeError, DecodeLimits, DecodedImage, File, OrientationTag, Reader, Wanted, channels};

mod libjpeg;
mod reduced;
mod standard;

use self::libjpeg::Accuracy;

/// Images with fewer rows or columns are decoded exactly as libjpeg does. The faster decoder rounds subsampled chroma
/// up by a quarter, and interpolates it differently at the edges.
const SMALL: usize = 192;

/// Returns the image as it is stored, perhaps reduced, and its orientation.
pub(super) fn decode(file: File<'_>) -> Result<(DecodedImage, Orientation), DecodeError> {
    let (limits, wanted) = (file.limits, file.wanted);
    let structure = Structure::of(file.bytes);
    if let Some((width, height)) = structure.size {
        limits.check(width, height)?;
        file.meter.scan(width as u64 * height as u64, structure.scans)?;
    }
    let (orientation, is_usual) = (structure.orientation(), structure.is_usual());
    // Other colours are never reduced.
    let is_reduced = structure.components == 1 || (structure.components == 3 && !structure.is_named_rgb());
    let coded = standard::with_tables(structure.coded?, structure.has_codes);
    file.meter.goes_on()?;
    let is_whole = structure.size.is_none_or(|size| divisor(size, orientation, wanted) == 1);
    if wanted.reader == Reader::Tensorflow && (is_whole || wanted.is_gray) {
        return Ok((libjpeg::pixels(&coded, file, Accuracy::Quick)?, orientation));
    }
    if structure.components == 3 && !is_usual {
        return Ok((libjpeg::pixels(&coded, file, Accuracy::Accurate)?, orientation));
    }
    let is_small = structure.size.is_some_and(|(width, height)| width.min(height) < SMALL);
    if is_small && (is_whole || !is_reduced) {
        match libjpeg::pixels(&coded, file, Accuracy::Accurate) {
            // The other decoder also accepts what is refused here.
            Err(DecodeError::Undecodable(_)) => (),
            outcome => return Ok((outcome?, orientation)),
        }
    }
    match pixels_of(&guarded(&coded), limits, Strictness::Strict, wanted) {
        // Worth a second try: harmless bytes between two segments, or a lost restart marker, after which decoders
        // resynchronize at the next.
        Err(DecodeError::Undecodable(fact))
            if structure.restarts || fact.contains("Extra bytes between headers") =>
        {
            pixels_of(&coded, limits, Strictness::Lenient, wanted)
        }
        outcome => outcome,
    }
}

/// Returns by what the sides of an image of this width and height may be divided.
fn divisor((width, height): (usize, usize), orientation: Orientation, wanted: &Wanted<'_>) -> usize {
    match wanted.orientation_tag {
        OrientationTag::Apply if orientation.is_transposed() => (wanted.divisor)(width, height),
        OrientationTag::Apply | OrientationTag::Ignore => (wanted.divisor)(height, width),
    }
}

/// Returns the image's data with 16 one bits before its end marker, which begin no Huffman code.
///
/// The decoder reads zeros where data is missing, and decodes them. Complete data ends before the guard; truncated data
/// runs into it, which is an error.
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

/// Returns width, height and the number of scans of a file that is complete and within the limits, without decoding it.
pub(super) fn check(bytes: &[u8], limits: &DecodeLimits) -> Result<(usize, usize, u64), DecodeError> {
    let Structure { coded, scans, .. } = Structure::of(bytes);
    let coded = coded?;
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(coded), options(Strictness::Lenient));
    decoder.decode_headers().map_err(fault)?;
    let (width, height) =
        decoder.dimensions().ok_or_else(|| DecodeError::undecodable("it has no frame header"))?;
    limits.check(width, height)?;
    Ok((width, height, scans))
}

/// How the decoder treats damage. If lenient, it fills missing data with grey without an error.
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
) -> Result<(DecodedImage, Orientation), DecodeError> {
    let options = options(strictness);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(coded), options);
    decoder.decode_headers().map_err(fault)?;
    let (width, height) =
        decoder.dimensions().ok_or_else(|| DecodeError::undecodable("it has no frame header"))?;
    limits.check(width, height)?;
    let stored =
        decoder.input_colorspace().ok_or_else(|| DecodeError::undecodable("it has no frame header"))?;
    let coding = Coding::of(stored, coded)?;
    let orientation_by =
        |exif: Option<&Vec<u8>>| exif.map_or(Orientation::UPRIGHT, |exif| Orientation::from_exif(exif));
    // Only valid data is decoded so: what the other decoder refuses is decoded in full size, or is an error there.
    if strictness == Strictness::Strict && matches!(coding, Coding::Gray | Coding::YCbCr) {
        let orientation = orientation_by(decoder.exif());
        let divisor = divisor((width, height), orientation, wanted);
        let [width, height] = [width, height].map(|side| side.div_ceil(divisor));
        if divisor > 1
            && let Some(image) = reduced::pixels(coded, width, height)
        {
            return Ok((image, orientation));
        }
    }
    // The decoder's conversions from CMYK to RGB differ from OpenCV's, so everything but YCbCr is taken as stored.
    let given = if coding == Coding::YCbCr { ColorSpace::BGR } else { stored };
    decoder.set_options(options.jpeg_set_out_colorspace(given));
    let mut samples = decoder.decode().map_err(fault)?;
    let orientation = orientation_by(decoder.exif());
    let pixels = match coding {
        Coding::Gray => channels::from_gray(samples.into_iter()),
        Coding::YCbCr => samples,
        Coding::Rgb => {
            channels::reverse(&mut samples);
            samples
        }
        Coding::Cmyk => from_cmyk(&samples, wanted.reader),
        Coding::Ycck => {
            samples.chunks_exact_mut(4).for_each(ycck_to_cmyk);
            from_cmyk(&samples, wanted.reader)
        }
    };
    if pixels.len() != width * height * 3 {
        return Err(DecodeError::undecodable("corrupt data"));
    }
    Ok((DecodedImage { height, width, pixels }, orientation))
}

fn options(strictness: Strictness) -> DecoderOptions {
    DecoderOptions::default()
        .set_strict_mode(strictness == Strictness::Strict)
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX)
        // Set while the headers are read, and kept: set later, BGR would give RGB.
        .jpeg_set_out_colorspace(ColorSpace::BGR)
}

fn fault(cause: DecodeErrors) -> DecodeError {
    if let DecodeErrors::Unsupported(scheme) = cause {
        return DecodeError::Undecodable(format!("unsupported variant {scheme:?}"));
    }
    DecodeError::Undecodable(format!("corrupt data ({cause:?})"))
}

/// How the components of a file form a colour.
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
    fn of(stored: ColorSpace, coded: &[u8]) -> Result<Self, DecodeError> {
        Ok(match stored {
            ColorSpace::Luma => Self::Gray,
            ColorSpace::YCbCr => Self::YCbCr,
            ColorSpace::RGB => Self::Rgb,
            // With four components any transform means YCCK, but the decoder only accepts number 2.
            ColorSpace::CMYK if Colors::of(coded).adobe.is_some_and(|transform| transform != 0) => Self::Ycck,
            ColorSpace::CMYK => Self::Cmyk,
            ColorSpace::YCCK => Self::Ycck,
            other => return Err(DecodeError::Undecodable(format!("unsupported colour space {other:?}"))),
        })
    }
}

/// Converts inverted CMYK, as Adobe's programs write it, to BGR as OpenCV or Pillow does.
fn from_cmyk(samples: &[u8], reader: Reader) -> Vec<u8> {
    let mut pixels = vec![0; samples.len() / 4 * 3];
    from_cmyk_into(samples, reader, &mut pixels);
    pixels
}

fn from_cmyk_into(samples: &[u8], reader: Reader, pixels: &mut [u8]) {
    for (to, from) in pixels.chunks_exact_mut(3).zip(samples.chunks_exact(4)) {
        if reader == Reader::Pillow {
            to.copy_from_slice(&channels::bgr_of_light([from[0], from[1], from[2], from[3]]));
            continue;
        }
        let black = i32::from(from[3]);
        for (channel, ink) in [2, 1, 0].into_iter().zip(&from[..3]) {
            let value = black - (((255 - i32::from(*ink)) * black) >> 8);
            to[channel] = u8::try_from(value).unwrap_or(0);
        }
    }
}

/// Stored inverted.
fn ycck_to_cmyk(pixel: &mut [u8]) {
    let [red, green, blue] = channels::rgb_of_ycbcr([pixel[0], pixel[1], pixel[2]]);
    pixel[..3].copy_from_slice(&[255 - red, 255 - green, 255 - blue]);
}

/// The content of the segments, read without decoding.
struct Structure<'a> {
    /// Width and height of the frame, if a frame header was found.
    size: Option<(usize, usize)>,
    /// Whether restart markers are declared.
    restarts: bool,
    /// Whether there are Huffman tables.
    has_codes: bool,
    /// Number of scans.
    scans: u64,
    /// Number of components of the frame.
    components: u8,
    /// Identifier and sampling factors of the first three components.
    sampling: [[u8; 2]; 3],
    colors: Colors,
    /// The EXIF block.
    exif: Option<&'a [u8]>,
    /// The image's bytes up to its end marker; what follows does not belong to it.
    coded: Result<&'a [u8], DecodeError>,
}

impl<'a> Structure<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let (mut size, mut restarts, mut has_codes, mut scans, mut exif) = (None, false, false, 0, None);
        let (mut components, mut sampling, mut colors) = (0, [[0; 2]; 3], Colors::default());
        let end = walk(bytes, |Segment { marker, body, .. }| match marker {
            0xc4 => has_codes = true,
            // Frame headers, without the tables (C4, C8, CC) among them.
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                size = size.or(frame_size(body));
                components = body.get(5).copied().unwrap_or(0);
                for (told, component) in
                    sampling.iter_mut().zip(body.get(6..).unwrap_or_default().chunks_exact(3))
                {
                    *told = [component[0], component[1]];
                }
            }
            0xda => scans += 1,
            0xdd => restarts = true,
            0xe1 => exif = exif.or(body.strip_prefix(b"Exif\0\0")),
            0xe0 | 0xee => colors.tell(marker, body),
            _ => (),
        });
        let truncated =
            || DecodeError::undecodable("it is truncated: the data ends before the end-of-image marker");
        let coded = end.and_then(|end| bytes.get(..end)).ok_or_else(truncated);
        Self { size, restarts, has_codes, scans, components, sampling, colors, exif, coded }
    }

    fn is_named_rgb(&self) -> bool {
        self.sampling.map(|[id, _]| id) == *b"RGB"
    }

    /// Returns whether three components are in the usual form: the faster decoder reads others as different colours
    /// than libjpeg, or refuses them.
    fn is_usual(&self) -> bool {
        let is_named_rgb = self.is_named_rgb();
        let has_usual_colors = match (self.colors.is_jfif, self.colors.adobe) {
            (_, None) if !is_named_rgb => true,
            (_, Some(transform)) if !is_named_rgb => transform == 1,
            (is_jfif, transform) => !is_jfif && matches!(transform, None | Some(0)),
        };
        let [luma, others @ ..] = self.sampling.map(|[_, factors]| factors);
        has_usual_colors && others == [0x11; 2] && matches!(luma, 0x11 | 0x12 | 0x21 | 0x22 | 0x41)
    }

    fn orientation(&self) -> Orientation {
        self.exif.map_or(Orientation::UPRIGHT, Orientation::from_exif)
    }
}

/// The colour information of the application segments.
#[derive(Default)]
struct Colors {
    is_jfif: bool,
    /// The number of Adobe's transform.
    adobe: Option<u8>,
}

impl Colors {
    fn of(bytes: &[u8]) -> Self {
        let mut colors = Self::default();
        walk(bytes, |Segment { marker, body, .. }| colors.tell(marker, body));
        colors
    }

    fn tell(&mut self, marker: u8, body: &[u8]) {
        match marker {
            0xe0 => self.is_jfif |= body.starts_with(b"JFIF\0"),
            0xee if body.starts_with(b"Adobe") && body.len() >= 12 => self.adobe = Some(body[11]),
            _ => (),
        }
    }
}

/// A segment between two markers.
struct Segment<'a> {
    marker: u8,
    /// Its body without the length before it.
    body: &'a [u8],
    /// All bytes after it.
    behind: &'a [u8],
}

/// Walks from segment to segment, so that a thumbnail's end marker inside a segment is not taken for the image's.
/// Returns the index after the end marker; `None` if the bytes end first.
fn walk<'a>(bytes: &'a [u8], mut told: impl FnMut(Segment<'a>)) -> Option<usize> {
    let mut at = 2;
    loop {
        // Entropy-coded data, and stray bytes between segments, extend to the next marker.
        at += bytes.get(at..)?.iter().position(|byte| *byte == 0xff)?;
        let marker = *bytes.get(at + 1)?;
        match marker {
            // A fill byte: the marker may begin with the next byte.
            0xff => at += 1,
            // A stuffed byte, a restart or a reserved marker without a length.
            0x00..=0x01 | 0xd0..=0xd8 => at += 2,
            0xd9 => return Some(at + 2),
            _ => {
                let segment = bytes.get(at + 2..)?;
                let length = usize::from(u16::from_be_bytes(*segment.first_chunk::<2>()?)).max(2);
                let end = length.min(segment.len());
                told(Segment { marker, body: &segment[2..end], behind: &segment[end..] });
                at += 2 + length;
            }
        }
    }
}

/// Returns width and height from a frame header's body.
fn frame_size(body: &[u8]) -> Option<(usize, usize)> {
    let side = |at: usize| Some(usize::from(u16::from_be_bytes([*body.get(at)?, *body.get(at + 1)?])));
    Some((side(3)?, side(1)?))
}
