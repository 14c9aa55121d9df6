//! A request's images become parts, each small enough for one message and one batch of a worker.

use common::messages::{EncodedImage, ImageError, ImageOutcome};

use super::request::RequestedImage;

/// How large a part may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PartLimits {
    /// Images.
    pub max_images: usize,
    /// Bytes of its images; a larger image travels alone.
    pub max_bytes: usize,
}

/// A request in pieces.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Pieces {
    /// The client's ids by position.
    pub image_ids: Vec<i64>,
    /// Images for the workers, by part; no part is empty.
    pub parts: Vec<Vec<EncodedImage>>,
    /// Images that no worker needs to see, with their position.
    pub rejected: Vec<(u32, ImageOutcome)>,
}

/// Splits a request, keeping its order. The same request under the same limits gives the same pieces.
pub(crate) fn split(images: Vec<RequestedImage>, limits: PartLimits) -> Pieces {
    let mut pieces = Pieces::default();
    let mut sound = Vec::with_capacity(images.len());
    for (position, image) in (0_u32..).zip(images) {
        pieces.image_ids.push(image.id);
        match image.content {
            Ok(bytes) => sound.push(EncodedImage { position, bytes }),
            Err(error) => pieces.rejected.push((position, ImageOutcome::Rejected(error))),
        }
    }
    // Even parts: 17 images at 16 a part are 9 and 8, so that two workers finish together.
    let wanted = sound.len().div_ceil(limits.max_images).max(1);
    let even = sound.len().div_ceil(wanted);
    let mut part: Vec<EncodedImage> = Vec::new();
    let mut bytes = 0;
    for image in sound {
        let full = part.len() == even || bytes + image.bytes.len() > limits.max_bytes;
        if full && !part.is_empty() {
            pieces.parts.push(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes += image.bytes.len();
        part.push(image);
    }
    if !part.is_empty() {
        pieces.parts.push(part);
    }
    pieces
}

impl Pieces {
    /// Every image's error, where no image is left for a worker.
    pub(crate) fn hopeless(&self) -> Option<Vec<(i64, ImageError)>> {
        if !self.parts.is_empty() {
            return None;
        }
        let errors =
            self.image_ids.iter().zip(&self.rejected).filter_map(|(id, (_, outcome))| match outcome {
                ImageOutcome::Rejected(error) => Some((*id, error.clone())),
                ImageOutcome::Classified { .. } => None,
            });
        Some(errors.collect())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn check(sizes: &[usize], limits: (usize, usize), expected: &[&[u32]]) {
        let image =
            |(id, size): (i64, &usize)| RequestedImage { id, content: Ok(Bytes::from(vec![0; *size])) };
        let images = (0..).zip(sizes).map(image).collect();
        let pieces = split(images, PartLimits { max_images: limits.0, max_bytes: limits.1 });
        let positions: Vec<Vec<u32>> =
            pieces.parts.iter().map(|part| part.iter().map(|image| image.position).collect()).collect();
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
    fn rejected_images_keep_their_position_and_travel_nowhere() {
        let bad = || Err(ImageError { code: "invalid_base64".to_owned(), detail: "x".to_owned() });
        let images = vec![
            RequestedImage { id: 9, content: bad() },
            RequestedImage { id: 8, content: Ok(Bytes::from_static(b"a")) },
            RequestedImage { id: 7, content: bad() },
        ];
        let limits = PartLimits { max_images: 4, max_bytes: 10 };
        let pieces = split(images, limits);
        assert_eq!(pieces.image_ids, [9, 8, 7]);
        assert_eq!(pieces.parts[0][0].position, 1);
        assert_eq!(pieces.rejected.iter().map(|(position, _)| *position).collect::<Vec<_>>(), [0, 2]);
        assert!(pieces.hopeless().is_none());

        let pieces = split(vec![RequestedImage { id: 9, content: bad() }], limits);
        assert_eq!(pieces.hopeless().unwrap()[0].0, 9);
    }
}
