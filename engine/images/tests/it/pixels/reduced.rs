//! JPEGs that are reduced during decoding. `resizing.rs` compares them with Pillow's `draft`.

use std::cell::Cell;

use common::messages::ImageError;
use images::decode::{DecodeLimits, DecodedImage, OrientationTag, Wanted, decode, decode_as};

use super::read;

fn by(bytes: &[u8], divisor: usize) -> Result<DecodedImage, ImageError> {
    decode_as(bytes, &DecodeLimits::default(), &Wanted { divisor: &|_, _| divisor, ..Wanted::default() })
}

/// Returns the mean difference between the brightness of an image's pixels and the means of the areas that they cover.
fn difference(image: &DecodedImage, whole: &DecodedImage, divisor: usize) -> f64 {
    let brightness = |image: &DecodedImage, row: usize, column: usize| {
        let pixel = &image.pixels[(row * image.width + column) * 3..][..3];
        0.114 * f64::from(pixel[0]) + 0.587 * f64::from(pixel[1]) + 0.299 * f64::from(pixel[2])
    };
    let (mut sum, pixels) = (0.0, image.height * image.width);
    for (row, column) in (0..pixels).map(|index| (index / image.width, index % image.width)) {
        let rows = row * divisor..((row + 1) * divisor).min(whole.height);
        let columns = column * divisor..((column + 1) * divisor).min(whole.width);
        let places = rows.flat_map(|row| columns.clone().map(move |column| (row, column)));
        let block: Vec<f64> = places.map(|(row, column)| brightness(whole, row, column)).collect();
        sum += (brightness(image, row, column) - block.iter().sum::<f64>() / block.len() as f64).abs();
    }
    sum / pixels as f64
}

/// Chroma has half the sides, or less, if the file is subsampled.
#[test]
fn a_jpeg_keeps_its_brightness_at_each_size() {
    for name in
        ["420", "420_progressive", "411", "422", "440", "444", "444_progressive", "gray", "restarts", "1x1"]
    {
        let bytes = read(&format!("files/jpeg_{name}.jpg"));
        let whole = decode(&bytes, &DecodeLimits::default()).unwrap();
        for divisor in [2, 4, 8] {
            let image = by(&bytes, divisor).unwrap();
            let sides = [whole.height, whole.width].map(|side| side.div_ceil(divisor));
            assert_eq!([image.height, image.width], sides, "{name} by {divisor}");
            let apart = difference(&image, &whole, divisor);
            assert!(apart < 2.5, "{name} by {divisor}: {apart} of 255 on average");
        }
    }
}

#[test]
fn other_colours_and_formats_come_in_full() {
    for name in ["jpeg_cmyk.jpg", "jpeg_ycck.jpg", "jpeg_rgb.jpg", "tiff_jpeg.tif"] {
        let bytes = read(&format!("files/{name}"));
        let whole = decode(&bytes, &DecodeLimits::default()).unwrap();
        assert!(by(&bytes, 4).unwrap() == whole, "{name}");
    }
}

#[test]
fn the_sides_that_are_asked_about_are_those_of_the_turned_image() {
    let bytes = read("files/jpeg_exif_6.jpg");
    for orientation_tag in [OrientationTag::Apply, OrientationTag::Ignore] {
        let asked = Cell::new((0, 0));
        let divisor = |height: usize, width: usize| {
            asked.set((height, width));
            2
        };
        let wanted = Wanted { orientation_tag, divisor: &divisor, ..Wanted::default() };
        let image = decode_as(&bytes, &DecodeLimits::default(), &wanted).unwrap();
        let (height, width) = asked.get();
        assert_ne!(height, width);
        assert_eq!(
            (image.height, image.width),
            (height.div_ceil(2), width.div_ceil(2)),
            "{orientation_tag:?}"
        );
    }
}

#[test]
fn a_file_that_stops_early_is_an_error_at_each_size() {
    for name in ["420", "420_progressive", "gray"] {
        let bytes = read(&format!("files/jpeg_{name}.jpg"));
        let whole = decode(&bytes[..bytes.len() * 7 / 10], &DecodeLimits::default()).unwrap_err();
        for divisor in [2, 8] {
            let error = by(&bytes[..bytes.len() * 7 / 10], divisor).unwrap_err();
            assert_eq!(error.detail, whole.detail, "{name} by {divisor}");
        }
        // The image data is truncated, its end marker exists.
        let stopped = [&bytes[..bytes.len() * 7 / 10], b"\xff\xd9"].concat();
        assert!(by(&stopped, 8).is_err(), "{name}");
    }
}
