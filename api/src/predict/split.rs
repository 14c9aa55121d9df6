//! Splits a request's images into parts, each small enough for one message and one batch of a worker.

use common::image_size::declared_pixels;
use common::messages::{EncodedImage, ImageOutcome, Payload};

use super::requested::RequestedImage;
use crate::failure::FailedImage;

/// Most pixels of a part, according to the image headers: as many as the largest image that workers accept by default.
/// A worker with several parts lets jobs take turns.
const MAX_PIXELS: u64 = 64_000_000;

/// The limits of a part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PartLimits {
    /// Images.
    pub max_images: usize,
    /// Bytes of its images. A larger image is a part of its own.
    pub max_bytes: usize,
}

/// A request in parts.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Pieces {
    /// The client's ids by position.
    pub image_ids: Vec<i64>,
    /// The names of the images' files by position, where any has one.
    pub file_names: Option<Vec<Option<String>>>,
    /// What the workers get, by part.
    pub parts: Vec<Payload>,
    /// Pixels of the images for the workers, according to their headers.
    pub pixels: u64,
    /// Images that need no worker, by position.
    pub rejected: Vec<(u32, ImageOutcome)>,
}

/// Splits a request, keeping its order. The same request with the same limits gives the same parts.
pub(crate) fn split(images: Vec<RequestedImage>, limits: PartLimits) -> Pieces {
    let mut pieces = Pieces::default();
    let mut sound = Vec::with_capacity(images.len());
    let mut file_names = Vec::new();
    for (position, image) in (0_u32..).zip(images) {
        pieces.image_ids.push(image.id);
        file_names.push(image.file_name);
        match image.content {
            Ok(bytes) => sound.push(EncodedImage { position, bytes }),
            Err(error) => pieces.rejected.push((position, ImageOutcome::Rejected(error))),
        }
    }
    pieces.file_names = file_names.iter().any(Option::is_some).then_some(file_names);
    // Even parts: 17 images with at most 16 per part become 9 and 8, so that two workers finish together.
    let wanted = sound.len().div_ceil(limits.max_images).max(1);
    let even = sound.len().div_ceil(wanted);
    let mut part: Vec<EncodedImage> = Vec::new();
    let (mut bytes, mut pixels) = (0, 0);
    for image in sound {
        let size = declared_pixels(&image.bytes).unwrap_or(0);
        pieces.pixels = pieces.pixels.saturating_add(size);
        let full = part.len() == even
            || bytes + image.bytes.len() > limits.max_bytes
            || size.saturating_add(pixels) > MAX_PIXELS;
        if full && !part.is_empty() {
            pieces.parts.push(Payload::Images(std::mem::take(&mut part)));
            (bytes, pixels) = (0, 0);
        }
        bytes += image.bytes.len();
        pixels = size.saturating_add(pixels);
        part.push(image);
    }
    if !part.is_empty() {
        pieces.parts.push(Payload::Images(part));
    }
    pieces
}

impl Pieces {
    /// Returns every image with its error if all images were rejected, so that no worker is needed.
    pub(crate) fn all_rejected(&self) -> Option<Vec<FailedImage>> {
        if !self.parts.is_empty() {
            return None;
        }
        let images = self.rejected.iter().zip(&self.image_ids);
        let failed = images.filter_map(|((position, outcome), id)| match outcome {
            ImageOutcome::Rejected(error) => {
                Some(FailedImage { id: *id, file_name: self.file_name(*position), error: error.clone() })
            }
            ImageOutcome::Classified { .. } => None,
        });
        Some(failed.collect())
    }

    fn file_name(&self, position: u32) -> Option<String> {
        self.file_names.as_ref()?.get(position as usize)?.clone()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use common::messages::{ImageError, ImageErrorCode};

    use super::*;

    fn check(sizes: &[usize], limits: (usize, usize), expected: &[&[u32]]) {
        let image = |(id, size): (i64, &usize)| RequestedImage {
            id,
            content: Ok(Bytes::from(vec![0; *size])),
            file_name: None,
        };
        let images = (0..).zip(sizes).map(image).collect();
        let pieces = split(images, PartLimits { max_images: limits.0, max_bytes: limits.1 });
        let positions: Vec<Vec<u32>> = pieces.parts.iter().map(Payload::positions).collect();
        assert_eq!(positions, expected, "{sizes:?} at {limits:?}");
    }

    #[test]
    fn parts_are_bounded_in_images_and_bytes_and_even() {
        check(&[], (2, 10), &[]);
        check(&[1, 1, 1], (4, 10), &[&[0, 1, 2]]);
        check(&[1, 1, 1, 1, 1], (4, 10), &[&[0, 1, 2], &[3, 4]]);
        check(&[6, 4, 1], (4, 10), &[&[0, 1], &[2]]);
        check(&[1, 50, 1], (4, 10), &[&[0], &[1], &[2]]);
        check(&[50], (4, 10), &[&[0]]);
    }

    #[test]
    fn parts_are_bounded_in_pixels() {
        let gif = |side: u16| {
            let bytes = [b"GIF89a", &side.to_le_bytes()[..], &side.to_le_bytes()].concat();
            RequestedImage { id: 0, content: Ok(Bytes::from(bytes)), file_name: None }
        };
        let limits = PartLimits { max_images: 16, max_bytes: 1 << 20 };
        let pieces = split([4_000, 6_000, 4_000, 9_000, 10].map(gif).into(), limits);
        let sizes: Vec<usize> = pieces.parts.iter().map(Payload::count).collect();
        assert_eq!(sizes, [2, 1, 1, 1]);
    }

    #[test]
    fn rejected_images_keep_their_position_and_travel_nowhere() {
        let bad = || Err(ImageError { code: ImageErrorCode::InvalidBase64, detail: "x".to_owned() });
        let images = vec![
            RequestedImage { id: 9, content: bad(), file_name: None },
            RequestedImage { id: 8, content: Ok(Bytes::from_static(b"a")), file_name: None },
            RequestedImage { id: 7, content: bad(), file_name: None },
        ];
        let limits = PartLimits { max_images: 4, max_bytes: 10 };
        let pieces = split(images, limits);
        assert_eq!(pieces.image_ids, [9, 8, 7]);
        assert_eq!(pieces.parts[0].positions(), [1]);
        assert_eq!(pieces.rejected.iter().map(|(position, _)| *position).collect::<Vec<_>>(), [0, 2]);
        assert!(pieces.all_rejected().is_none());

        let pieces = split(vec![RequestedImage { id: 9, content: bad(), file_name: None }], limits);
        let failed = pieces.all_rejected().unwrap();
        assert_eq!((failed[0].id, &failed[0].error), (9, &bad().unwrap_err()));
    }
}
