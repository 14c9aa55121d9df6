//! Decodes image files into pixel values as the framework does that a model was trained with: `cv2.imdecode(bytes,
//! cv2.IMREAD_COLOR)`, Pillow's `Image.open(file).convert("RGB")` or `tf.io.decode_image(bytes, channels=3,
//! expand_animations=False)`.
//!
//! Models were trained on what their framework reads, so its behaviour is kept even where another would be better:
//! alpha is dropped without compositing, and 16 bits become 8 in a way that depends on the format. What a framework
//! refuses is an error that says so. The pixel values equal the framework's in all formats, except for JPEG with at
//! least 192 pixels a side as OpenCV and Pillow read it: libjpeg rounds the inverse transform and the chroma
//! differently. On photographs the difference is at most 6 of 255, and 0.4 on average.
//!
//! The file is not trusted. The size in its header is compared with the limits before memory for the pixels is
//! allocated. The bytes read are counted. A truncated file is an error, never an image with a grey rest. A panic inside
//! a decoder is an error of that file.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use common::image_size::{UNDECLARED, declared_pixels};
use common::messages::{ImageError, ImageErrorCode};

mod bmp;
mod channels;
mod directory;
mod format;
mod gif;
mod jpeg;
mod orientation;
mod png;
mod raster;
mod source;
mod tiff;
mod webp;

use self::format::Format;
use self::source::{Meter, Source};

/// An image, upright unless requested otherwise, with 8 bits per channel.
#[derive(Clone, PartialEq, Eq)]
pub struct DecodedImage {
    /// Rows, at least 1.
    pub height: usize,
    /// Columns, at least 1.
    pub width: usize,
    /// `[height, width, 3]`, row-major; blue, green, red.
    pub pixels: Vec<u8>,
}

impl fmt::Debug for DecodedImage {
    /// Only the size: a log should not contain pixel values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DecodedImage({}x{})", self.width, self.height)
    }
}

/// Limits that are checked before decoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Largest file, in bytes.
    pub max_bytes: usize,
    /// Largest image, in pixels. Decoding takes up to 16 bytes of memory for each.
    pub max_pixels: u64,
    /// Largest width and height.
    pub max_side: u32,
}

impl Default for DecodeLimits {
    /// 32 MiB, 64 megapixels, 32,768 pixels a side.
    fn default() -> Self {
        Self { max_bytes: 32 << 20, max_pixels: 64_000_000, max_side: 32_768 }
    }
}

impl DecodeLimits {
    /// Returns the most memory that decoding a file takes, in bytes, according to its header.
    #[must_use]
    pub fn memory_of(&self, bytes: &[u8]) -> u64 {
        declared_pixels(bytes).map_or(0, |pixels| pixels.min(self.max_pixels) * BYTES_OF_A_PIXEL)
    }

    /// Returns the limits for one file whose memory was reserved by its header: its image may not be larger.
    #[must_use]
    pub fn as_declared(&self, bytes: &[u8]) -> Self {
        let declared = declared_pixels(bytes).unwrap_or(0).max(UNDECLARED);
        Self { max_pixels: self.max_pixels.min(declared), ..self.clone() }
    }
}

/// Most memory that decoding takes per pixel: see [`DecodeLimits::max_pixels`].
const BYTES_OF_A_PIXEL: u64 = 16;

/// Decodes JPEG, PNG, BMP, GIF (first frame), WebP (first frame) or TIFF (first page).
///
/// # Errors
/// `undecodable_image`: not an image, an unsupported format or variant, or a corrupt or truncated file.
/// `image_too_large`: over one of the limits.
pub fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<DecodedImage, ImageError> {
    decode_as(bytes, limits, &Wanted::default())
}

/// The framework whose decoding is reproduced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// `cv2.imdecode`, in colours.
    OpenCv,
    /// `PIL.Image.open`, converted to `RGB`, as Keras's `load_img` does it.
    Pillow,
    /// `tf.io.decode_image`, as Keras's `image_dataset_from_directory` calls it.
    Tensorflow,
}

impl Reader {
    fn name(self) -> &'static str {
        match self {
            Self::OpenCv => "OpenCV",
            Self::Pillow => "Pillow",
            Self::Tensorflow => "TensorFlow",
        }
    }

    /// Creates the error for what it does not read.
    fn refuses(self, what: &str) -> DecodeError {
        let name = self.name();
        DecodeError::Undecodable(format!(
            "{name}, with which this model's images were read, does not read {what}"
        ))
    }
}

/// Whether a file's EXIF or TIFF orientation tag is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrientationTag {
    /// The image is rotated and mirrored as its tag says.
    Apply,
    /// The image stays as stored, as TensorFlow and Pillow read it.
    Ignore,
}

/// How an image is decoded.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// The framework to reproduce.
    pub reader: Reader,
    /// Whether only grey is needed, which TensorFlow decodes differently than by converting the colours. The three
    /// channels are equal then, where that matters.
    pub is_gray: bool,
    /// Whether its orientation tag is applied.
    pub orientation_tag: OrientationTag,
    /// Returns by what both sides of an image of this height and width, after the orientation tag, may be divided: 1,
    /// 2, 4 or 8. Only grey JPEGs and those with the usual colours are reduced, which saves time and memory.
    pub divisor: &'a dyn Fn(usize, usize) -> usize,
    /// Called at intervals during decoding; `false` stops it.
    pub goes_on: &'a dyn Fn() -> bool,
}

impl Default for Wanted<'_> {
    /// As OpenCV reads it, upright and in full size.
    fn default() -> Self {
        Self {
            reader: Reader::OpenCv,
            is_gray: false,
            orientation_tag: OrientationTag::Apply,
            divisor: &|_, _| 1,
            goes_on: &|| true,
        }
    }
}

/// A file that is being decoded.
#[derive(Clone, Copy)]
struct File<'a> {
    bytes: &'a [u8],
    limits: &'a DecodeLimits,
    wanted: &'a Wanted<'a>,
    meter: &'a Meter<'a>,
}

impl<'a> File<'a> {
    fn source(self) -> Source<'a> {
        Source::new(self.bytes, self.meter)
    }
}

/// As [`decode`], with these options.
///
/// # Errors
/// As [`decode`]. Also `undecodable_image`: the framework does not read such a file; `stopped`: `goes_on` returned
/// false.
pub fn decode_as(
    bytes: &[u8],
    limits: &DecodeLimits,
    wanted: &Wanted<'_>,
) -> Result<DecodedImage, ImageError> {
    if bytes.len() > limits.max_bytes {
        let fact = format!("the image has {} bytes, the limit is {}", bytes.len(), limits.max_bytes);
        return Err(DecodeError::TooLarge(fact).into());
    }
    let format = Format::of(bytes)?;
    let meter = Meter::new(bytes.len(), wanted.goes_on);
    let file = File { bytes, limits, wanted, meter: &meter };
    // A decoder owns all its data, so a panic leaves nothing half-changed behind.
    let outcome = catch_unwind(AssertUnwindSafe(|| format.decode(file)))
        .unwrap_or_else(|_| Err(DecodeError::undecodable("corrupt data")));
    // A decoder that was stopped only reports that it could not read on.
    outcome.map_err(|fault| meter.outcome().err().unwrap_or(fault).told_of(format).into())
}

/// Why a file cannot be decoded.
#[derive(Debug)]
enum DecodeError {
    /// Over a limit, which is named.
    TooLarge(String),
    /// Not an image, with the reason.
    Undecodable(String),
    /// The image is not wanted any more.
    Stopped,
}

impl DecodeError {
    fn undecodable(cause: impl fmt::Display) -> Self {
        Self::Undecodable(cause.to_string())
    }

    fn told_of(self, format: Format) -> Self {
        match self {
            Self::TooLarge(_) | Self::Stopped => self,
            Self::Undecodable(fact) => Self::Undecodable(format!("{} file: {fact}", format.name())),
        }
    }
}

/// The detail of an image that was no longer wanted during decoding.
pub const STOPPED: &str = "decoding was stopped";

impl From<DecodeError> for ImageError {
    fn from(fault: DecodeError) -> Self {
        let (code, detail) = match fault {
            DecodeError::TooLarge(detail) => (ImageErrorCode::ImageTooLarge, detail),
            DecodeError::Undecodable(detail) => (ImageErrorCode::UndecodableImage, detail),
            // Nobody is told: whoever stopped it knows.
            DecodeError::Stopped => (ImageErrorCode::UndecodableImage, STOPPED.to_owned()),
        };
        Self { code, detail }
    }
}

impl DecodeLimits {
    /// Checks the size in the header. Must be called before anything of that size is allocated.
    fn check(&self, width: usize, height: usize) -> Result<(), DecodeError> {
        if width == 0 || height == 0 {
            return Err(DecodeError::Undecodable(format!(
                "the image is {width}x{height} pixels, expected at least 1x1"
            )));
        }
        let (columns, rows) = (width as u64, height as u64);
        if columns.max(rows) > u64::from(self.max_side) {
            let limit = self.max_side;
            return Err(DecodeError::TooLarge(format!(
                "the image is {width}x{height} pixels, the limit is {limit} a side"
            )));
        }
        if columns.saturating_mul(rows) > self.max_pixels {
            let limit = self.max_pixels;
            return Err(DecodeError::TooLarge(format!(
                "the image is {width}x{height} pixels, the limit is {limit} in all"
            )));
        }
        Ok(())
    }
}

/// Bytes that the decoder of an image of this size may allocate: twice 64 bits per pixel, and room for tables. The
/// decoder refuses content that is larger than the declared size.
fn memory_for(width: usize, height: usize) -> usize {
    width.saturating_mul(height).saturating_mul(16).saturating_add(8 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code_of(bytes: &[u8], limits: &DecodeLimits) -> (ImageErrorCode, String) {
        let error = decode(bytes, limits).unwrap_err();
        (error.code, error.detail)
    }

    #[test]
    fn bytes_that_are_no_image_are_said_to_be_none() {
        for bytes in [&b""[..], b"hello, world", b"\x00\x00\x00\x20ftypisom", b"RIFF\x00\x00\x00\x00WAVE"] {
            let (code, detail) = code_of(bytes, &DecodeLimits::default());
            assert_eq!(code, ImageErrorCode::UndecodableImage);
            assert!(detail.ends_with("expected JPEG, PNG, BMP, GIF, WebP or TIFF"), "{detail}");
        }
    }

    #[test]
    fn a_bare_signature_names_its_format() {
        for (bytes, name) in [
            (&b"\xff\xd8\xff"[..], "JPEG"),
            (b"\x89PNG\r\n\x1a\n", "PNG"),
            (b"BM", "BMP"),
            (b"GIF89a", "GIF"),
            (b"RIFF\x00\x00\x00\x00WEBP", "WebP"),
            (b"II*\0", "TIFF"),
        ] {
            let (code, detail) = code_of(bytes, &DecodeLimits::default());
            assert_eq!(code, ImageErrorCode::UndecodableImage);
            assert!(detail.starts_with(&format!("{name} file: ")), "{detail}");
        }
    }

    #[test]
    fn each_limit_has_its_own_sentence() {
        let limits = DecodeLimits { max_bytes: 10, max_pixels: 100, max_side: 20 };
        assert_eq!(
            code_of(&[0; 11], &limits),
            (ImageErrorCode::ImageTooLarge, "the image has 11 bytes, the limit is 10".to_owned())
        );
        assert!(limits.check(20, 5).is_ok());
        for (width, height, says) in [(21, 1, "20 a side"), (1, 21, "20 a side"), (11, 10, "100 in all")] {
            let error = ImageError::from(limits.check(width, height).unwrap_err());
            assert_eq!(error.code, ImageErrorCode::ImageTooLarge);
            assert!(error.detail.ends_with(says), "{}", error.detail);
        }
    }
}
