//! `image_ops_fit` compared with Pillow's `ImageOps.fit`: see `fixtures/fit/make.py`.

use std::fs;
use std::path::PathBuf;

use common::package::ModelConfig;
use images::decode::DecodeLimits;
use images::preprocess::{decode, preprocess};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Case {
    image: String,
    /// Height and width.
    size: [usize; 2],
    filter: String,
    expected: String,
}

fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/fit").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the model's input for a picture.
fn read(case: &Case, settings: &serde_json::Value) -> Vec<f32> {
    let [height, width] = case.size;
    let mut section = json!({"input_shape": [height, width, 3]});
    section.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let config = json!({"img_preproc_type": "image_ops_fit", "image_preproc_config": section,
        "output_postproc_type": "argmax", "output_config": {"output_classes": ["a", "b"]}});
    let how = ModelConfig::parse(config.to_string().as_bytes()).unwrap().preprocessing;
    let image = decode(&fixture(&case.image), &DecodeLimits::default(), &how, &|| true).unwrap();
    preprocess(image, &how).unwrap().values().to_vec()
}

/// The elements of a version 1 `.npy` file of bytes.
fn bytes(name: &str) -> Vec<u8> {
    let file = fixture(name);
    let header = usize::from(u16::from_le_bytes([file[8], file[9]]));
    assert!(std::str::from_utf8(&file[10..10 + header]).unwrap().contains("'|u1'"), "{name}");
    file[10 + header..].to_vec()
}

#[test]
fn pictures_of_every_parity_are_fitted_as_pillow_fits_them() {
    let cases: Vec<Case> = serde_json::from_slice(&fixture("cases.json")).unwrap();
    assert_eq!(cases.len(), 80);
    let mut faults = Vec::new();
    for case in &cases {
        let found = read(case, &json!({"resampling": format!("pillow_{}", case.filter)}));
        let expected = bytes(&case.expected);
        assert_eq!(found.len(), expected.len());
        let different = found.iter().zip(&expected).filter(|(a, b)| **a != f32::from(**b)).count();
        if different > 0 {
            faults.push(format!("{}: {different} of {} values differ", case.expected, found.len()));
        }
    }
    assert!(faults.is_empty(), "{} of {}: {faults:#?}", faults.len(), cases.len());
}

#[test]
fn teachable_machine_divides_by_127_5_and_subtracts_1() {
    let cases: Vec<Case> = serde_json::from_slice(&fixture("cases.json")).unwrap();
    let case = cases.iter().find(|case| case.filter == "lanczos").unwrap();
    let found = read(case, &json!({"resampling": "pillow_lanczos", "preprocess_input": "tf"}));
    for (found, byte) in found.iter().zip(bytes(&case.expected)) {
        assert_eq!(*found, f32::from(byte) / 127.5 - 1.0);
    }
}
