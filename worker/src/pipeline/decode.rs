//! The bytes of an image file become pixels, as `cv2.imdecode(bytes, cv2.IMREAD_COLOR)` gives them.
//!
//! Model packages were trained on what OpenCV reads, so its ways are kept even where others would do
//! better: channels are BGR, alpha is dropped without compositing, 16 bits become 8 in a way that
//! depends on the format, orientation tags are applied. All formats come out equal to OpenCV's pixels
//! but for JPEG, where libjpeg rounds the inverse transform and the chroma otherwise: on photographs
//! six levels of 255 at most, 0.2 on average.
//!
//! Nothing here trusts the file. Its size is compared with the limits from the header, before memory
//! for the pixels is taken; a file that stops early is an error, never a picture with a grey rest;
//! and a panic inside a decoder is that file's error.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use common::messages::ImageError;

mod channels;
mod directory;
mod jpeg;
mod orientation;
mod raster;
mod tiff;
mod webp;

use self::orientation::Orientation;

/// An image, upright unless asked for otherwise, 8 bits a channel.
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
    /// The size alone: pixels have no place in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DecodedImage({}x{})", self.width, self.height)
    }
}

/// What is refused before it is decoded.
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

/// Decodes JPEG, PNG, BMP, GIF (first frame), WebP (first frame) or TIFF (first page).
///
/// # Errors
/// `undecodable_image`: not an image, a format or a variant that is not supported, or a file that is
/// corrupt or truncated. `image_too_large`: over one of the limits.
pub fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<DecodedImage, ImageError> {
    decode_as(bytes, limits, &Wanted { turning: Turning::Upright, divisor: &|_, _| 1 })
}

/// Whether orientation tags count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turning {
    /// The image is turned as its tag says.
    Upright,
    /// It stays as it is stored, as TensorFlow and Pillow read it.
    AsStored,
}

/// How an image is wanted.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// Whether it is turned.
    pub turning: Turning,
    /// By what both sides of an image of this height and width, as it is then, may be divided: 1, 2, 4 or 8. Only a
    /// JPEG of brightness alone or with the usual colours is made smaller; it takes less time and memory.
    pub divisor: &'a dyn Fn(usize, usize) -> usize,
}

/// As [`decode`], as it is wanted.
///
/// # Errors
/// As [`decode`].
pub fn decode_as(
    bytes: &[u8],
    limits: &DecodeLimits,
    wanted: &Wanted<'_>,
) -> Result<DecodedImage, ImageError> {
    if bytes.len() > limits.max_bytes {
        let fact = format!("the image has {} bytes, the limit is {}", bytes.len(), limits.max_bytes);
        return Err(Fault::TooLarge(fact).into());
    }
    let format = Format::of(bytes)?;
    // A decoder owns all that it touches, so nothing half-changed is left behind by a panic.
    match catch_unwind(AssertUnwindSafe(|| format.decode(bytes, limits, wanted))) {
        Ok(outcome) => outcome.map_err(|fault| fault.told_of(format).into()),
        Err(_) => Err(Fault::Undecodable("corrupt data".to_owned()).told_of(format).into()),
    }
}

/// Why a file gave no pixels.
#[derive(Debug)]
enum Fault {
    /// Over a limit, which is named.
    TooLarge(String),
    /// No picture in it: the fact.
    Undecodable(String),
}

impl Fault {
    fn undecodable(cause: impl fmt::Display) -> Self {
        Self::Undecodable(cause.to_string())
    }

    fn told_of(self, format: Format) -> Self {
        match self {
            Self::TooLarge(fact) => Self::TooLarge(fact),
            Self::Undecodable(fact) => Self::Undecodable(format!("{} file: {fact}", format.name())),
        }
    }
}

impl From<Fault> for ImageError {
    fn from(fault: Fault) -> Self {
        let (code, detail) = match fault {
            Fault::TooLarge(detail) => ("image_too_large", detail),
            Fault::Undecodable(detail) => ("undecodable_image", detail),
        };
        Self { code: code.to_owned(), detail }
    }
}

impl DecodeLimits {
    /// To be called with what the header says, before anything of that size is allocated.
    fn check(&self, width: usize, height: usize) -> Result<(), Fault> {
        if width == 0 || height == 0 {
            return Err(Fault::Undecodable(format!(
                "the image is {width}x{height} pixels, expected at least 1x1"
            )));
        }
        let (columns, rows) = (width as u64, height as u64);
        if columns.max(rows) > u64::from(self.max_side) {
            let limit = self.max_side;
            return Err(Fault::TooLarge(format!(
                "the image is {width}x{height} pixels, the limit is {limit} a side"
            )));
        }
        if columns.saturating_mul(rows) > self.max_pixels {
            let limit = self.max_pixels;
            return Err(Fault::TooLarge(format!(
                "the image is {width}x{height} pixels, the limit is {limit} in all"
            )));
        }
        Ok(())
    }
}

/// Bytes that the decoder of an image of this size may take: 64 bits a pixel twice over, and room for
/// tables. What a file hides inside that is larger than itself is refused by it.
fn memory_for(width: usize, height: usize) -> usize {
    width.saturating_mul(height).saturating_mul(16).saturating_add(8 << 20)
}

/// The formats, told apart by their first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Jpeg,
    Png,
    Bmp,
    Gif,
    WebP,
    Tiff,
}

impl Format {
    fn of(bytes: &[u8]) -> Result<Self, Fault> {
        let starts = |magic: &[u8]| bytes.starts_with(magic);
        if starts(b"\xff\xd8\xff") {
            Ok(Self::Jpeg)
        } else if starts(b"\x89PNG\r\n\x1a\n") {
            Ok(Self::Png)
        } else if starts(b"GIF87a") || starts(b"GIF89a") {
            Ok(Self::Gif)
        } else if starts(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
            Ok(Self::WebP)
        } else if [&b"II*\0"[..], b"MM\0*", b"II+\0", b"MM\0+"].into_iter().any(starts) {
            Ok(Self::Tiff)
        } else if starts(b"BM") {
            Ok(Self::Bmp)
        } else {
            let fact =
                if bytes.is_empty() { "the image is empty" } else { "the bytes are no known image format" };
            Err(Fault::Undecodable(format!("{fact}, expected JPEG, PNG, BMP, GIF, WebP or TIFF")))
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Bmp => "BMP",
            Self::Gif => "GIF",
            Self::WebP => "WebP",
            Self::Tiff => "TIFF",
        }
    }

    fn decode(self, bytes: &[u8], limits: &DecodeLimits, wanted: &Wanted<'_>) -> Result<DecodedImage, Fault> {
        let (image, orientation) = match self {
            Self::Jpeg => jpeg::decode(bytes, limits, wanted)?,
            Self::Png => raster::png(bytes, limits)?,
            Self::Bmp => (raster::bmp(bytes, limits)?, Orientation::UPRIGHT),
            Self::Gif => (raster::gif(bytes, limits)?, Orientation::UPRIGHT),
            Self::WebP => webp::decode(bytes, limits)?,
            Self::Tiff => tiff::decode(bytes, limits)?,
        };
        Ok(match wanted.turning {
            Turning::Upright => orientation.apply(image),
            Turning::AsStored => image,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code_of(bytes: &[u8], limits: &DecodeLimits) -> (String, String) {
        let error = decode(bytes, limits).unwrap_err();
        (error.code, error.detail)
    }

    #[test]
    fn bytes_that_are_no_image_are_said_to_be_none() {
        for bytes in [&b""[..], b"hello, world", b"\x00\x00\x00\x20ftypavif", b"RIFF\x00\x00\x00\x00WAVE"] {
            let (code, detail) = code_of(bytes, &DecodeLimits::default());
            assert_eq!(code, "undecodable_image");
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
            assert_eq!(code, "undecodable_image");
            assert!(detail.starts_with(&format!("{name} file: ")), "{detail}");
        }
    }

    #[test]
    fn each_limit_has_its_own_sentence() {
        let limits = DecodeLimits { max_bytes: 10, max_pixels: 100, max_side: 20 };
        assert_eq!(
            code_of(&[0; 11], &limits),
            ("image_too_large".to_owned(), "the image has 11 bytes, the limit is 10".to_owned())
        );
        assert!(limits.check(20, 5).is_ok());
        for (width, height, says) in [(21, 1, "20 a side"), (1, 21, "20 a side"), (11, 10, "100 in all")] {
            let error = ImageError::from(limits.check(width, height).unwrap_err());
            assert_eq!(error.code, "image_too_large");
            assert!(error.detail.ends_with(says), "{}", error.detail);
        }
    }
}
