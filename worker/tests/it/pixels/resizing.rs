//! Resizing against TensorFlow, Pillow, OpenCV and Keras themselves: see `tools/parity/make_pixels.py`.

use std::process::Command;

use common::package::ModelConfig;
use serde::Deserialize;
use worker::npy;
use worker::pipeline::decode::{DecodeLimits, decode_turned};
use worker::pipeline::preprocess::{preprocess, turning};

use crate::support::root;

#[derive(Deserialize)]
struct Case {
    what: String,
    file: String,
    config: serde_json::Value,
    /// Largest difference, in levels.
    worst: Option<f64>,
    /// Largest mean difference, in levels.
    mean: Option<f64>,
    /// How much of the model's input one level is.
    level: f64,
    expected: String,
}

#[test]
fn images_become_what_the_frameworks_make_of_them() {
    let made = Command::new(root().join(".cache/python/bin/python"))
        .arg(root().join("tools/parity/make_pixels.py"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let folder = root().join(".cache/fixtures/resize");
    let cases: Vec<Case> =
        serde_json::from_slice(&std::fs::read(folder.join("cases.json")).unwrap()).unwrap();
    assert!(cases.len() > 250, "{} cases", cases.len());
    let mut faults = Vec::new();
    for case in &cases {
        let config = ModelConfig::parse(case.config.to_string().as_bytes())
            .unwrap_or_else(|problems| panic!("{}: {problems:?}", case.what));
        let how = &config.preprocessing;
        let bytes = std::fs::read(folder.join(&case.file)).unwrap();
        let image = decode_turned(&bytes, &DecodeLimits::default(), turning(how)).unwrap();
        let found = preprocess(image, how).unwrap();
        let expected = npy::read(&folder.join(&case.expected)).unwrap();
        assert_eq!(expected.shape[1..], how.input_shape, "{}", case.what);
        let differences: Vec<f64> =
            found.iter().zip(&expected.values).map(|(a, b)| f64::from((a - b).abs()) / case.level).collect();
        let worst = differences.iter().copied().fold(0.0, f64::max);
        let mean = differences.iter().sum::<f64>() / differences.len() as f64;
        // A rounding that falls the other way is one level; floats of a sum, a hundredth.
        if case.worst.is_some_and(|bound| worst > bound + 0.01) || case.mean.is_some_and(|bound| mean > bound)
        {
            faults.push(format!("{}: off by {worst:.3} levels, {mean:.3} on average", case.what));
        }
    }
    assert!(faults.is_empty(), "{} of {}: {faults:#?}", faults.len(), cases.len());
}
