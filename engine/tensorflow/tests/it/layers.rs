//! Every layer's graph computes what Keras computes. The cases and their numbers are in
//! `tests/fixtures/layers`, with the script that made them.

use engine::{Batch, Device, Engine};
use keras::Model;
use serde_json::Value;
use tensorflow_engine::{Convolutions, Library, Spread, Tile, Winograd};

use crate::layer_cases::{cases, model, tensor};
use crate::support::{engine_of, library};
use testing::numbers::{largest, largest_difference};

/// Relative to the largest value that Keras computes.
const TOLERANCE: f32 = 1e-5;

#[test]
fn convolutions_are_those_of_keras() {
    check("conv");
}

/// Also where tiles are not quicker on this machine.
#[test]
fn convolutions_in_tiles_are_those_of_keras() {
    check("tiles");
    for tile in [Tile::Two, Tile::Four] {
        let library = Library { winograd: Winograd::Always(tile), ..library().clone() };
        for case in ["tiles", "conv", "merge"].into_iter().flat_map(cases) {
            check_on(&library, &case, &model(&case));
        }
    }
}

#[test]
fn dense_layers_are_those_of_keras() {
    check("dense");
}

#[test]
fn normalizations_are_those_of_keras() {
    check("norm");
}

#[test]
fn poolings_are_those_of_keras() {
    check("pool");
}

#[test]
fn activations_are_those_of_keras() {
    check("activation");
}

#[test]
fn shapes_are_those_of_keras() {
    check("shape");
}

#[test]
fn merges_are_those_of_keras() {
    check("merge");
}

#[test]
fn upsamplings_are_those_of_keras() {
    check("upsampling");
}

/// The library that `tools/fetch_tensorflow.py` fetches has fused convolutions. Without them it is slower and takes more
/// memory, which no other test shows.
#[test]
#[cfg(target_arch = "x86_64")]
fn convolutions_are_fused() {
    let expected = if library().device == Device::Cpu { Convolutions::Fused } else { Convolutions::Plain };
    assert_eq!(library().convolutions, expected);
}

fn check(family: &str) {
    for case in cases(family) {
        let model = model(&case);
        check_case(&case, &model);
    }
}

fn check_case(case: &Value, model: &Model) {
    for convolutions in [library().convolutions, Convolutions::Plain] {
        check_on(&Library { convolutions, ..library().clone() }, case, model);
    }
}

fn check_on(library: &Library, case: &Value, model: &Model) {
    let name = format!("{}, {:?}, {:?}", case["name"], library.convolutions, library.winograd);
    let input = tensor(&case["input"]).unwrap();
    let expected = tensor(&case["output"]).unwrap();
    let image = [input.shape[1], input.shape[2], input.shape[3]];
    let batch = Batch::new(input.shape[0], image, input.values.to_vec());
    let engine = engine_of(library, model, image).unwrap_or_else(|e| panic!("{name}: {e}"));
    for scores in [engine.predict(&batch), engine.run_bare(&batch, Spread::AllCores)] {
        let scores = scores.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(scores.classes, expected.shape[1..].iter().product::<usize>(), "{name}");
        let difference = largest_difference(&scores.values, &expected.values);
        let bound = TOLERANCE * largest(&expected.values).max(1.0);
        assert!(difference <= bound, "{name}: differs by {difference}, expected at most {bound}");
    }
}
