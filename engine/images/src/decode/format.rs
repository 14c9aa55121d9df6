//! Recognizes formats by their first bytes.

use super::orientation::Orientation;
use super::{DecodeError, DecodedImage, File, OrientationTag, bmp, gif, jpeg, png, tiff, webp};

/// A supported format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Jpeg,
    Png,
    Bmp,
    Gif,
    WebP,
    Tiff,
}

/// The signature of the ISO base media format, which phones use for photographs.
const BRANDS: [(&[u8; 4], &str); 11] = [
    (b"heic", "HEIC"),
    (b"heix", "HEIC"),
    (b"heim", "HEIC"),
    (b"heis", "HEIC"),
    (b"hevc", "HEIC"),
    (b"hevx", "HEIC"),
    (b"avif", "AVIF"),
    (b"avis", "AVIF"),
    // The compatible brands tell which codec it is.
    (b"mif1", "HEIF"),
    (b"msf1", "HEIF"),
    (b"heif", "HEIF"),
];

impl Format {
    /// # Errors
    /// None of the supported formats; others that are often sent are named.
    pub(super) fn of(bytes: &[u8]) -> Result<Self, DecodeError> {
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
        } else if let Some(name) = named_brand(bytes) {
            Err(DecodeError::Undecodable(format!(
                "the image is {name}, which is not read, expected JPEG, PNG, BMP, GIF, WebP or TIFF: convert it to \
                 JPEG"
            )))
        } else {
            let fact =
                if bytes.is_empty() { "the image is empty" } else { "the bytes are no known image format" };
            Err(DecodeError::Undecodable(format!("{fact}, expected JPEG, PNG, BMP, GIF, WebP or TIFF")))
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Bmp => "BMP",
            Self::Gif => "GIF",
            Self::WebP => "WebP",
            Self::Tiff => "TIFF",
        }
    }

    pub(super) fn decode(self, file: File<'_>) -> Result<DecodedImage, DecodeError> {
        let (image, orientation) = match self {
            Self::Jpeg => jpeg::decode(file)?,
            Self::Png => png::decode(file)?,
            Self::Bmp => (bmp::decode(file)?, Orientation::UPRIGHT),
            Self::Gif => (gif::decode(file)?, Orientation::UPRIGHT),
            Self::WebP => webp::decode(file)?,
            Self::Tiff => tiff::decode(file)?,
        };
        Ok(match (file.wanted.orientation_tag, self) {
            // OpenCV and Pillow always apply the tag of a TIFF.
            (OrientationTag::Apply, _) | (_, Self::Tiff) => orientation.apply(image),
            (OrientationTag::Ignore, _) => image,
        })
    }
}

/// Returns the name of a format by the brands in a file's first box (ISO/IEC 14496-12, section 4.3): its own, then the
/// compatible ones.
fn named_brand(bytes: &[u8]) -> Option<&'static str> {
    let size = u32::from_be_bytes(*bytes.first_chunk::<4>()?) as usize;
    if bytes.get(4..8) != Some(b"ftyp") {
        return None;
    }
    let brands = bytes.get(8..size.clamp(12, 256).min(bytes.len()))?.chunks_exact(4);
    let ranks = brands.filter_map(|brand| BRANDS.iter().position(|(known, _)| known[..] == *brand));
    ranks.min().map(|rank| BRANDS[rank].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_telephones_and_browsers_store_is_named_with_what_to_convert_it_to() {
        for (bytes, name) in [
            (&b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"[..], "HEIC"),
            (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf", "HEIC"),
            (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", "AVIF"),
            (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "AVIF"),
            (b"\0\0\0\x14ftypmif1\0\0\0\0mif1", "HEIF"),
        ] {
            let Err(DecodeError::Undecodable(fact)) = Format::of(bytes) else { panic!("{name} is read") };
            assert!(fact.starts_with(&format!("the image is {name}, ")), "{fact}");
            assert!(
                fact.ends_with("expected JPEG, PNG, BMP, GIF, WebP or TIFF: convert it to JPEG"),
                "{fact}"
            );
        }
        assert!(named_brand(b"\0\0\0\x18ftypisom\0\0\0\0mp41").is_none());
    }
}
