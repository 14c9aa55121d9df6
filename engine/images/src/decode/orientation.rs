//! The orientation of the stored rows and columns (TIFF 6.0 and EXIF 2.3, tag 274).

use super::DecodedImage;
use super::directory::Directory;

const ORIENTATION: u16 = 274;

/// What makes the stored pixels upright: first transpose, then mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Orientation {
    transposed: bool,
    mirrored: bool,
    upside_down: bool,
}

impl Orientation {
    /// As stored.
    pub(super) const UPRIGHT: Self = Self { transposed: false, mirrored: false, upside_down: false };

    /// Reads the tag's value; any but 1 to 8 counts as 1.
    pub(super) fn from_tag(value: u16) -> Self {
        let (transposed, mirrored, upside_down) = match value {
            2 => (false, true, false),
            3 => (false, true, true),
            4 => (false, false, true),
            5 => (true, false, false),
            6 => (true, true, false),
            7 => (true, true, true),
            8 => (true, false, true),
            _ => (false, false, false),
        };
        Self { transposed, mirrored, upside_down }
    }

    /// Reads an EXIF block, which begins with `II` or `MM`. An invalid one counts as upright.
    pub(super) fn from_exif(exif: &[u8]) -> Self {
        let tag = Directory::first(exif).and_then(|directory| directory.short(ORIENTATION));
        tag.map_or(Self::UPRIGHT, Self::from_tag)
    }

    /// Returns whether rows become columns.
    pub(super) fn is_transposed(self) -> bool {
        self.transposed
    }

    /// Returns the upright image.
    pub(super) fn apply(self, image: DecodedImage) -> DecodedImage {
        if self == Self::UPRIGHT {
            return image;
        }
        let (height, width) =
            if self.transposed { (image.width, image.height) } else { (image.height, image.width) };
        let (row_step, column_step) =
            if self.transposed { (3, image.width * 3) } else { (image.width * 3, 3) };
        let mut pixels = Vec::with_capacity(image.pixels.len());
        for y in 0..height {
            let row = row_step * if self.upside_down { height - 1 - y } else { y };
            for x in 0..width {
                let from = row + column_step * if self.mirrored { width - 1 - x } else { x };
                pixels.extend_from_slice(&image.pixels[from..from + 3]);
            }
        }
        DecodedImage { height, width, pixels }
    }
}
