//! Pixel values compared with OpenCV's: see `fixtures/pixels/make.py`.

use std::fs;
use std::path::PathBuf;

use common::package::config::{Preprocessing, PreprocessingKind};
use images::decode::{DecodeLimits, DecodedImage, decode};
use images::preprocess::preprocess;
use serde::Deserialize;

#[derive(Deserialize)]
struct Manifest {
    decode: Vec<DecodeCase>,
    /// See `readers.rs`.
    read: Vec<serde_json::Value>,
    preprocess: Vec<PreprocessCase>,
}

#[derive(Deserialize)]
struct DecodeCase {
    file: String,
    expected: String,
    levels: u8,
    mean: f64,
}

#[derive(Deserialize)]
struct PreprocessCase {
    file: String,
    expected: String,
    input_shape: [usize; 3],
    factor: f32,
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pixels").join(name)
}

fn read(name: &str) -> Vec<u8> {
    fs::read(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn manifest() -> Manifest {
    serde_json::from_slice(&read("manifest.json")).unwrap()
}

/// Parses shape and elements of a version 1 `.npy` file in C order.
fn npy(name: &str, element: &str) -> (Vec<usize>, Vec<u8>) {
    let bytes = read(name);
    let header_bytes = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..10 + header_bytes]).unwrap();
    assert!(header.contains(&format!("'descr': '{element}'")), "{name}: {header}");
    assert!(header.contains("'fortran_order': False"), "{name}: {header}");
    let (_, shape) = header.split_once("'shape': (").unwrap();
    let (shape, _) = shape.split_once(')').unwrap();
    let shape =
        shape.split(',').filter(|side| !side.trim().is_empty()).map(|side| side.trim().parse().unwrap());
    (shape.collect(), bytes[10 + header_bytes..].to_vec())
}

fn decoded(name: &str) -> Result<DecodedImage, String> {
    decode(&read(name), &DecodeLimits::default()).map_err(|error| format!("{}: {}", error.code, error.detail))
}

/// Returns what is wrong with one decoded file.
fn fault_of(case: &DecodeCase) -> Option<String> {
    let image = match decoded(&case.file) {
        Ok(image) => image,
        Err(error) => return Some(error),
    };
    let (shape, expected) = npy(&case.expected, "|u1");
    if shape != [image.height, image.width, 3] || expected.len() != image.pixels.len() {
        return Some(format!("is {}x{}, OpenCV has {shape:?}", image.height, image.width));
    }
    let difference = |(a, b): (&u8, &u8)| a.abs_diff(*b);
    let worst = image.pixels.iter().zip(&expected).map(difference).max()?;
    let sum: u64 = image.pixels.iter().zip(&expected).map(|pair| u64::from(difference(pair))).sum();
    let mean = sum as f64 / expected.len() as f64;
    let bad = worst > case.levels || mean > case.mean;
    bad.then(|| format!("is off by {worst} of 255 and {mean:.3} on average"))
}

#[test]
fn every_file_decodes_to_the_pixels_that_opencv_reads() {
    let cases = manifest().decode;
    assert!(cases.len() > 100, "the manifest lists the fixtures");
    let faults: Vec<String> =
        cases.iter().filter_map(|case| Some(format!("{} {}", case.file, fault_of(case)?))).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn every_image_is_scaled_and_padded_as_opencv_and_numpy_do_it() {
    for case in manifest().preprocess {
        let kind = PreprocessingKind::NormalizeAndPad { normalization_factor: case.factor };
        let how = Preprocessing { input_shape: case.input_shape, kind };
        let pixels = preprocess(decoded(&case.file).unwrap(), &how).unwrap();
        let values = pixels.values();
        let (shape, bytes) = npy(&case.expected, "<f4");
        assert_eq!(shape, case.input_shape);
        let expected: Vec<f32> =
            bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let different = values.iter().zip(&expected).filter(|(a, b)| a != b).count();
        assert_eq!((values.len(), different), (expected.len(), 0), "{} differs", case.expected);
    }
}

mod cost;
mod hostile;
mod readers;
mod reduced;
mod resizing;
