//! Files that are damaged, truncated or have a wrong size in their header.

use std::fs;
use std::time::{Duration, Instant};

use common::messages::ImageError;
use common::package::ModelConfig;
use images::decode::{DecodeLimits, DecodedImage, Reader, Wanted, decode, decode_as};
use images::preprocess::preprocess;

use super::cost::processor_time;
use super::{manifest, read};

/// Far longer than any fixture takes, far shorter than a hang.
const FAST: Duration = Duration::from_secs(5);

fn decode_small(bytes: &[u8]) -> Result<DecodedImage, ImageError> {
    decode_small_as(bytes, Reader::OpenCv)
}

fn decode_small_as(bytes: &[u8], reader: Reader) -> Result<DecodedImage, ImageError> {
    let limits = DecodeLimits { max_bytes: 1 << 20, max_pixels: 100_000, max_side: 3_000 };
    let started = Instant::now();
    let outcome = decode_as(bytes, &limits, &Wanted { reader, ..Wanted::default() });
    assert!(started.elapsed() < FAST, "took {:?}", started.elapsed());
    match &outcome {
        Ok(image) => {
            assert!(image.height > 0 && image.width > 0 && image.height.max(image.width) <= 3_000);
            assert!(image.height * image.width <= 100_000);
            assert_eq!(image.pixels.len(), image.height * image.width * 3);
        }
        Err(error) => {
            assert!(["undecodable_image", "image_too_large"].contains(&error.code.as_str()), "{error:?}");
            assert!(!error.detail.is_empty());
        }
    }
    outcome
}

/// Marsaglia's xorshift: the same mutants in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

#[test]
fn no_mutant_panics_hangs_or_passes_the_limits() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut mutants = 0;
    for case in manifest().decode {
        let sound = read(&case.file);
        for round in 0..40 {
            let mut bytes = sound.clone();
            // Headers are short and decide everything, so half of the flips are there.
            let reach = if round % 2 == 0 { bytes.len().min(96) } else { bytes.len() };
            for _ in 0..=random.below(4) {
                bytes[random.below(reach)] ^= 1 << random.below(8);
            }
            if round % 5 == 0 {
                bytes.truncate(random.below(bytes.len()));
            }
            let reader = [Reader::OpenCv, Reader::Pillow, Reader::Tensorflow][round % 3];
            let _ = decode_small_as(&bytes, reader);
            mutants += 1;
        }
    }
    assert!(mutants > 5_000, "{mutants}");
}

#[test]
fn a_file_cut_in_half_is_an_error() {
    let survivors: Vec<String> = manifest()
        .decode
        .into_iter()
        .map(|case| case.file)
        .filter(|file| {
            let bytes = read(file);
            decode_small(&bytes[..bytes.len() / 2]).is_ok()
        })
        .collect();
    // Its first page is complete, and only the first is read.
    assert_eq!(survivors, ["files/tiff_pages.tif"]);
}

#[test]
fn a_jpeg_cut_anywhere_is_an_error() {
    for name in ["jpeg_420.jpg", "jpeg_420_progressive.jpg", "jpeg_thumbnail.jpg", "jpeg_restarts.jpg"] {
        let bytes = read(&format!("files/{name}"));
        for end in 0..bytes.len() {
            for reader in [Reader::OpenCv, Reader::Tensorflow] {
                let outcome = decode_small_as(&bytes[..end], reader);
                assert!(outcome.is_err(), "{name} cut at {end} of {}", bytes.len());
            }
        }
    }
}

#[test]
fn a_jpeg_whose_data_stops_before_its_end_marker_is_an_error() {
    for name in ["jpeg_420.jpg", "jpeg_444_progressive.jpg", "jpeg_gray.jpg"] {
        let mut bytes = read(&format!("files/{name}"));
        bytes.truncate(bytes.len() - bytes.len() / 4);
        bytes.extend_from_slice(b"\xff\xd9");
        for reader in [Reader::OpenCv, Reader::Tensorflow] {
            assert_eq!(
                decode_small_as(&bytes, reader).unwrap_err().code.as_str(),
                "undecodable_image",
                "{name}"
            );
        }
    }
}

#[test]
fn a_jpeg_that_lost_a_restart_marker_is_still_an_image() {
    let mut bytes = read("files/jpeg_restarts.jpg");
    let marker =
        bytes.windows(2).rposition(|pair| pair[0] == 0xff && (0xd0..=0xd7).contains(&pair[1])).unwrap();
    bytes.drain(marker..marker + 2);
    decode_small(&bytes).unwrap();
}

#[test]
fn stray_bytes_between_the_segments_of_a_jpeg_do_no_harm() {
    let sound = read("files/jpeg_420.jpg");
    let table = sound.windows(2).position(|pair| pair == b"\xff\xdb").unwrap();
    let stray = [&sound[..table], &[0; 9], &sound[table..]].concat();
    assert_eq!(decode_small(&stray).unwrap(), decode_small(&sound).unwrap());
}

#[test]
fn what_claims_to_be_enormous_is_refused_at_once() {
    let patched = |name: &str, at: usize, value: &[u8]| {
        let mut bytes = read(&format!("files/{name}"));
        bytes[at..at + value.len()].copy_from_slice(value);
        (name.to_owned(), bytes)
    };
    let frame = |name: &str| {
        let bytes = read(&format!("files/{name}"));
        bytes.windows(2).position(|pair| pair == b"\xff\xc0" || pair == b"\xff\xc2").unwrap() + 5
    };
    let vp8 = 12 + 8 + 6;
    let cases = [
        patched("png_rgb.png", 16, b"\0\0\xea\x60\0\0\xea\x60"),
        patched("png_rgb.png", 16, b"\x7f\xff\xff\xff\x7f\xff\xff\xff"),
        patched("bmp_24.bmp", 18, b"\x60\xea\0\0\x60\xea\0\0"),
        patched("gif_plain.gif", 6, b"\xff\xff\xff\xff"),
        patched("jpeg_420.jpg", frame("jpeg_420.jpg"), b"\xff\xdc\xff\xdc"),
        patched("jpeg_420_progressive.jpg", frame("jpeg_420_progressive.jpg"), b"\xff\xdc\xff\xdc"),
        patched("webp_lossy.webp", vp8, b"\xff\x3f\xff\x3f"),
        patched("webp_lossless.webp", 21, b"\xfe\xbf\xff\x0f"),
        patched("webp_animated.webp", 24, b"\xff\xff\x00\xff\xff\x00"),
    ];
    for (name, bytes) in cases {
        let started = processor_time();
        let error = decode(&bytes, &DecodeLimits::default()).unwrap_err();
        assert_eq!(error.code.as_str(), "image_too_large", "{name}: {}", error.detail);
        let took = processor_time() - started;
        assert!(took < Duration::from_millis(50), "{name} took {took:?}");
    }
}

/// Scaled as a whole, the sliver would have two billion pixels.
#[test]
fn of_a_sliver_only_what_is_cut_out_is_scaled() {
    let resamplings = [
        "tensorflow_nearest",
        "tensorflow_bilinear_antialias",
        "tensorflow_bicubic",
        "tensorflow_area",
        "pillow_nearest",
        "pillow_lanczos",
        "opencv_nearest",
        "opencv_cubic",
        "opencv_area",
    ];
    for resampling in resamplings {
        let config = format!(
            r#"{{"img_preproc_type": "center_crop", "image_preproc_config": {{"input_shape": [224, 224, 3],
            "resampling": "{resampling}", "resize_shorter_side": 256, "channel_order": "bgr"}},
            "output_postproc_type": "argmax", "output_config": {{"output_classes": ["a"]}}}}"#
        );
        let config = ModelConfig::parse(config.as_bytes()).unwrap();
        for (height, width) in [(1, 32_000), (32_000, 1)] {
            let pixels = [7, 100, 200].repeat(height * width);
            let started = Instant::now();
            let pixels = preprocess(DecodedImage { height, width, pixels }, &config.preprocessing).unwrap();
            let values = pixels.values();
            assert!(started.elapsed() < FAST, "{resampling} took {:?}", started.elapsed());
            assert_eq!(values.len(), 224 * 224 * 3);
            for (value, expected) in values.iter().zip([7.0_f32, 100.0, 200.0].iter().cycle()) {
                assert!((value - expected).abs() < 0.001, "{resampling}: {value}, expected {expected}");
            }
        }
    }
}

#[test]
fn every_fixture_is_refused_by_limits_just_below_it() {
    for case in manifest().decode {
        let bytes = read(&case.file);
        let image = decode_small(&bytes).unwrap();
        let (height, width) = (image.height as u64, image.width as u64);
        let sound = DecodeLimits {
            max_bytes: bytes.len(),
            max_pixels: height * width,
            max_side: u32::try_from(height.max(width)).unwrap(),
        };
        assert_eq!(decode(&bytes, &sound).as_ref(), Ok(&image), "{}", case.file);
        for tight in [
            DecodeLimits { max_bytes: sound.max_bytes - 1, ..sound.clone() },
            DecodeLimits { max_pixels: sound.max_pixels - 1, ..sound.clone() },
            DecodeLimits { max_side: sound.max_side - 1, ..sound.clone() },
        ] {
            assert_eq!(
                decode(&bytes, &tight).unwrap_err().code.as_str(),
                "image_too_large",
                "{}: {tight:?}",
                case.file
            );
        }
    }
}

#[test]
fn the_fixtures_are_all_listed() {
    let folder = super::path("files");
    let listed: std::collections::BTreeSet<String> = {
        let manifest = manifest();
        let decode = manifest.decode.into_iter().map(|case| case.file);
        let read = manifest.read.into_iter();
        let decode = decode.chain(read.map(|case| case["file"].as_str().unwrap().to_owned()));
        decode.chain(manifest.preprocess.into_iter().map(|case| case.file)).collect()
    };
    let found: std::collections::BTreeSet<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| format!("files/{}", entry.unwrap().file_name().to_string_lossy()))
        .collect();
    assert_eq!(found, listed);
}
