//! Files of Keras 2 and Keras 3, each with many layers of one family and one output per case. Every output has the values
//! that this version of Keras computes. The files come from `tests/fixtures/layers/whole/make.py`.

use std::collections::BTreeMap;
use std::fs;

use engine::{Batch, Engine};
use keras::layers::Layer;
use keras::{Model, Node};
use serde::Deserialize;
use tensorflow_engine::{Convolutions, Library};

use crate::support::{engine_of, library};
use common::package::ModelFormat;
use keras::open;
use testing::numbers::{largest, largest_difference};
use testing::repository;

/// Relative to the largest value that Keras computes.
const TOLERANCE: f32 = 1e-5;

#[test]
fn transposed_and_1d_convolutions_are_those_of_keras() {
    check("convolutions");
}

#[test]
fn activations_are_those_of_keras() {
    check("activations");
}

#[test]
fn poolings_of_every_kind_are_those_of_keras() {
    check("poolings");
}

#[test]
fn normalizations_over_any_axes_are_those_of_keras() {
    check("normalizations");
}

#[test]
fn padding_resizing_and_reshaping_are_those_of_keras() {
    check("reshapings");
}

#[test]
fn merging_layers_are_those_of_keras() {
    check("merges");
}

#[test]
fn layers_that_do_nothing_at_inference_do_nothing_in_keras() {
    // Keras 3 cannot write several of them into an .hdf5 file.
    check_files("inert", &["keras2.hdf5", "keras2.keras", "keras3.keras"]);
}

#[test]
fn multi_head_attention_is_that_of_keras() {
    check("attention");
}

#[test]
fn attention_without_heads_and_einsum_are_those_of_keras() {
    check("products");
}

#[test]
fn wrappers_are_those_of_keras() {
    check("wrapped");
}

#[test]
fn operations_without_layers_are_those_of_keras() {
    check("operations");
}

#[test]
fn operations_over_images_and_sizes_are_those_of_keras() {
    check("images");
}

#[test]
fn recurrent_layers_are_those_of_keras() {
    for family in ["gru", "lstm", "simple_rnn"] {
        check(family);
    }
}

/// The importer's tests find the families by themselves.
#[test]
fn every_family_is_named_in_this_file() {
    let whole = repository().join("engine/tensorflow/tests/fixtures/layers/whole");
    let names = fs::read_dir(whole).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let families = names.filter_map(|name| name.strip_suffix(".py").map(str::to_owned));
    let unnamed: Vec<String> = families
        .filter(|family| {
            family != "make" && !include_str!("layer_files.rs").contains(&format!("\"{family}\""))
        })
        .collect();
    assert!(unnamed.is_empty(), "{unnamed:?}");
}

#[derive(Deserialize)]
struct Cases {
    input: Array,
    /// By version of Keras, then by case.
    outputs: BTreeMap<String, BTreeMap<String, Array>>,
}

#[derive(Deserialize)]
struct Array {
    shape: Vec<usize>,
    values: Vec<f32>,
}

fn check(family: &str) {
    check_files(family, &["keras2.hdf5", "keras2.keras", "keras3.hdf5", "keras3.keras"]);
}

fn check_files(family: &str, files: &[&str]) {
    let folder = repository().join("engine/tensorflow/tests/fixtures/layers/whole").join(family);
    let cases = fs::read(folder.join("cases.json")).expect("the family has cases");
    let cases: Cases = serde_json::from_slice(&cases).expect("the cases are those of the generator");
    let fast = library().convolutions;
    for (dialect, outputs) in &cases.outputs {
        for (ending, convolutions) in [("hdf5", fast), ("keras", Convolutions::Plain)] {
            let file = format!("keras{dialect}.{ending}");
            if !files.contains(&file.as_str()) {
                continue;
            }
            let format = if file.ends_with(".keras") { ModelFormat::KerasArchive } else { ModelFormat::Hdf5 };
            let model = open(&folder.join(&file), format).unwrap_or_else(|error| panic!("{file}: {error}"));
            check_shapes(&file, &model, outputs);
            check_values(&file, model, convolutions, (&cases.input, outputs));
        }
    }
}

/// Checks the inferred shapes: known sizes are right, and the rank is too.
fn check_shapes(file: &str, model: &Model, expected: &BTreeMap<String, Array>) {
    let shapes = model.shapes().unwrap_or_else(|faults| panic!("{file}: {faults:?}"));
    for output in &model.outputs {
        let (name, found) = (&model.nodes[*output].name, &shapes[*output]);
        let expected = &expected[name].shape;
        let fits = found.len() == expected.len()
            && found
                .iter()
                .zip(expected)
                .all(|(found, size)| found.known().is_none_or(|found| found == *size));
        assert!(fits, "{file}: {name} has shape {found}, expected {expected:?}");
    }
}

fn check_values(
    file: &str,
    model: Model,
    convolutions: Convolutions,
    (input, expected): (&Array, &BTreeMap<String, Array>),
) {
    let names: Vec<String> = model.outputs.iter().map(|node| model.nodes[*node].name.clone()).collect();
    assert_eq!(names.len(), expected.len(), "{file}");
    let image = [input.shape[1], input.shape[2], input.shape[3]];
    let library = Library { convolutions, ..library().clone() };
    let engine =
        engine_of(&library, &with_one_output(model), image).unwrap_or_else(|e| panic!("{file}: {e}"));
    let batch = Batch::new(input.shape[0], image, input.values.clone());
    let scores = engine.predict(&batch).unwrap_or_else(|e| panic!("{file}: {e}"));
    let mut begin = 0;
    for name in names {
        let expected = &expected[&name];
        let end = begin + expected.shape[1..].iter().product::<usize>();
        let rows = scores.values.chunks(scores.classes).flat_map(|row| &row[begin..end]);
        let difference = largest_difference(&rows.copied().collect::<Vec<f32>>(), &expected.values);
        let bound = TOLERANCE * largest(&expected.values).max(1.0);
        assert!(difference <= bound, "{file}: {name} differs by {difference}, expected at most {bound}");
        begin = end;
    }
    assert_eq!(begin, scores.classes, "{file}");
}

/// Concatenates the flattened outputs of the model to a single one.
fn with_one_output(mut model: Model) -> Model {
    let mut add = |name: String, layer: Layer, inputs: Vec<usize>| {
        model.nodes.push(Node { name, class: String::new(), layer, inputs });
        model.nodes.len() - 1
    };
    let outputs = std::mem::take(&mut model.outputs);
    let flat = outputs.iter().map(|output| add(format!("flat_{output}"), Layer::Flatten, vec![*output]));
    let flat = flat.collect();
    model.outputs = vec![add("all".to_owned(), Layer::Concatenate { axis: -1 }, flat)];
    model
}
