//! The graph of each case of a layer gives what Keras computes, in double precision and without an engine.

use keras::layers::Layer;
use model::reference::{self, Array, Budget};
use serde_json::Value;

use crate::layer_cases::{cases, model, tensor};

/// Relative to the largest value that Keras computes, in single precision.
const TOLERANCE: f64 = 1e-5;

#[test]
fn convolutions_are_those_of_keras() {
    check("conv");
    check("tiles");
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

#[test]
fn shapes_of_a_model_that_takes_any_image_size_stay_open() {
    for family in ["conv", "shape", "upsampling", "pool", "merge"] {
        for case in cases(family) {
            let name = case["name"].as_str().unwrap();
            let fixed = model(&case).shapes().unwrap();
            let mut open = model(&case);
            let Layer::Input { shape } = &mut open.nodes[0].layer else { panic!("no input") };
            (shape[0], shape[1]) = (None, None);
            let open = open.shapes().unwrap_or_else(|e| panic!("{name}: {e:?}"));
            assert!(open[0].is_open(), "{name}");
            for (open, fixed) in open.iter().zip(&fixed) {
                assert_eq!(open.len(), fixed.len(), "{name}");
                let fits = open.iter().zip(fixed.iter()).all(|(open, fixed)| open.fitted(*fixed).is_some());
                assert!(fits, "{name}: {open} {fixed}");
            }
            let output = tensor(&case["output"]).unwrap();
            let sizes: Option<Vec<usize>> =
                fixed.last().unwrap()[1..].iter().map(|size| size.known()).collect();
            assert_eq!(sizes.as_deref(), Some(&output.shape[1..]), "{name}");
        }
    }
}

fn check(family: &str) {
    for case in cases(family) {
        check_case(&case);
    }
}

fn check_case(case: &Value) {
    let name = &case["name"];
    let (input, expected) = (array(&case["input"]), array(&case["output"]));
    let image = [input.shape[1], input.shape[2], input.shape[3]];
    let graph = model(case).graph(Some(image)).unwrap_or_else(|faults| panic!("{name}: {faults:?}"));
    let found = reference::evaluate(&graph, &input, Budget::default()).unwrap();
    let [found] = &found[..] else { panic!("{name}: {} outputs", found.len()) };
    assert_eq!(found.shape, expected.shape, "{name}");
    let largest = expected.values.iter().fold(1.0_f64, |most, value| most.max(value.abs()));
    for (found, expected) in found.values.iter().zip(&expected.values) {
        let difference = (found - expected).abs();
        assert!(difference <= TOLERANCE * largest, "{name}: {found}, expected {expected}");
    }
}

fn array(value: &Value) -> Array {
    let tensor = tensor(value).unwrap();
    Array { shape: tensor.shape.clone(), values: tensor.values.iter().copied().map(f64::from).collect() }
}
