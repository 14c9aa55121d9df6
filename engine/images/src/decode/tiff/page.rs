//! Reads the tags of a page, and refuses pages that OpenCV or Pillow read differently from this decoder, or not at all.

use std::io::{Read, Seek};

use tiff::decoder::Decoder;
use tiff::tags::Tag;

use super::super::{DecodeError, Reader, Wanted};
use super::{ASSOCIATED_ALPHA, JPEG_COMPRESSION, UNASSOCIATED_ALPHA, fault};

const LOWEST_BIT_FIRST: u16 = 2;
const IN_PLANES: u16 = 2;
const WHITE_IS_ZERO: u16 = 0;
const YCBCR: u16 = 6;
/// Values of the tag `Compression` that use the tag `Predictor`: LZW, deflate, its older number, Zstandard.
const PREDICTED: [u16; 4] = [5, 8, 32_946, 50_000];

pub(super) struct Page {
    compression: u16,
    photometric: u16,
    bits: u16,
    samples: u16,
    fill_order: u16,
    orientation: u16,
    predictor: u16,
    has_planes: bool,
    has_tiles: bool,
    has_palette: bool,
    is_big_endian_bigtiff: bool,
    /// The kind of each extra sample.
    pub(super) extra: Vec<u16>,
}

impl Page {
    pub(super) fn of<R: Read + Seek>(decoder: &mut Decoder<R>, bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut number = |tag, usual: u16| {
            Ok::<u16, DecodeError>(decoder.find_tag_unsigned::<u16>(tag).map_err(fault)?.unwrap_or(usual))
        };
        let (compression, photometric) =
            (number(Tag::Compression, 1)?, number(Tag::PhotometricInterpretation, 1)?);
        let (samples, fill_order) = (number(Tag::SamplesPerPixel, 1)?, number(Tag::FillOrder, 1)?);
        let orientation = number(Tag::Orientation, 1)?;
        let (predictor, planes) = (number(Tag::Predictor, 1)?, number(Tag::PlanarConfiguration, 1)?);
        let mut numbers = |tag| {
            Ok::<_, DecodeError>(
                decoder.find_tag_unsigned_vec::<u16>(tag).map_err(fault)?.unwrap_or_default(),
            )
        };
        let (bits, extra) = (numbers(Tag::BitsPerSample)?, numbers(Tag::ExtraSamples)?);
        Ok(Self {
            compression,
            photometric,
            bits: bits.first().copied().unwrap_or(1),
            samples,
            fill_order,
            orientation,
            predictor,
            has_planes: planes == IN_PLANES && samples > 1,
            has_tiles: decoder.find_tag(Tag::TileWidth).map_err(fault)?.is_some(),
            has_palette: decoder.find_tag(Tag::ColorMap).map_err(fault)?.is_some(),
            is_big_endian_bigtiff: bytes.starts_with(b"MM\0+"),
            extra,
        })
    }

    /// Returns what the framework does not read, or reads unlike all others.
    pub(super) fn unlike_others(&self, wanted: &Wanted<'_>) -> Option<&'static str> {
        let is_gray = self.samples == 1 && !self.has_palette;
        let cases = [
            (self.fill_order == LOWEST_BIT_FIRST, "TIFF whose bytes begin with the lowest bit as others do"),
            (
                self.predictor != 1 && !PREDICTED.contains(&self.compression),
                "TIFF with a predictor of this compression",
            ),
            (
                self.samples == 2 && (self.has_planes || self.compression == JPEG_COMPRESSION),
                "TIFF of grey and alpha in planes or as JPEG as others do",
            ),
            (
                self.photometric == YCBCR && self.compression != JPEG_COMPRESSION,
                "TIFF of YCbCr that is no JPEG",
            ),
            (self.has_palette && self.bits == 16, "TIFF with a palette of 16 bits"),
        ];
        let own: &[(bool, &str)] = match wanted.reader {
            Reader::OpenCv => &[
                (
                    self.has_tiles && is_gray && self.bits == 16,
                    "TIFF of 16 bits of grey in tiles as others do",
                ),
                (
                    self.has_tiles && self.orientation > 4,
                    "TIFF in tiles that is stored on its side as others do",
                ),
                (self.has_palette && !matches!(self.bits, 1 | 4 | 8), "TIFF with a palette of these bits"),
                (self.extra.len() > 1, "TIFF of more samples than colours and alpha"),
            ],
            Reader::Pillow => &[
                (
                    is_gray && self.bits == 16 && wanted.is_gray,
                    "16 bits of grey for a model of one channel: its values stay 0 to 65535",
                ),
                (
                    is_gray && self.bits == 16 && self.photometric == WHITE_IS_ZERO,
                    "16 bits of grey whose 0 is white as others do",
                ),
                (is_gray && !matches!(self.bits, 1 | 2 | 4 | 8 | 12 | 16 | 32), "TIFF of these bits of grey"),
                (
                    self.extra == [ASSOCIATED_ALPHA]
                        && (self.samples == 2 || self.has_planes || self.bits == 16),
                    "TIFF with alpha that it was multiplied by, of grey, in planes or of 16 bits",
                ),
                (
                    self.extra.len() > 1 && self.extra.last() == Some(&UNASSOCIATED_ALPHA),
                    "TIFF with alpha behind other samples",
                ),
                (self.is_big_endian_bigtiff, "BigTIFF of this byte order"),
            ],
            Reader::Tensorflow => &[],
        };
        cases.iter().chain(own).find(|(is_so, _)| *is_so).map(|(_, what)| *what)
    }
}
