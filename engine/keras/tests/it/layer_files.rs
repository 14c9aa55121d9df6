//! The graph of each file of layers gives what the version of Keras that wrote it computes, in double precision and without an
//! engine. `engine/tensorflow/tests/fixtures/layers/whole/make.py` made the files and the numbers.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;

use common::package::ModelFormat;
use keras::open;
use model::reference::{self, Array, Budget};
use model::{Graph, Interpolation, Op, Resize, Value};
use serde::Deserialize;
use testing::repository;

/// Relative to the largest value that Keras computes, in single precision.
const TOLERANCE: f64 = 1e-5;

/// Of bicubic interpolation, whose weights TensorFlow takes from a table of 1024 steps for each pixel.
const BICUBIC_TOLERANCE: f64 = 1e-3;

#[derive(Deserialize)]
struct Cases {
    input: Numbers,
    /// By version of Keras, then by case.
    outputs: BTreeMap<String, BTreeMap<String, Numbers>>,
}

#[derive(Deserialize)]
struct Numbers {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Numbers {
    fn exact(&self) -> Array {
        Array { shape: self.shape.clone(), values: self.values.iter().copied().map(f64::from).collect() }
    }
}

#[test]
fn every_family_of_layers_computes_what_keras_computes() {
    let whole = repository().join("engine/tensorflow/tests/fixtures/layers/whole");
    let scripts = fs::read_dir(&whole).unwrap().map(|entry| entry.unwrap().path());
    let families = scripts
        .filter(|path| path.extension().is_some_and(|ending| ending == "py") && !path.ends_with("make.py"));
    let mut problems = Vec::new();
    for folder in families.map(|script| script.with_extension("")) {
        let cases = fs::read(folder.join("cases.json")).unwrap();
        let cases: Cases = serde_json::from_slice(&cases).unwrap();
        for (dialect, expected) in &cases.outputs {
            // Some layers are not written into an .hdf5 file by Keras 3.
            let written = [("hdf5", ModelFormat::Hdf5), ("keras", ModelFormat::KerasArchive)]
                .map(|(ending, format)| (folder.join(format!("keras{dialect}.{ending}")), format));
            let files: Vec<_> = written.into_iter().filter(|(path, _)| path.exists()).collect();
            assert!(!files.is_empty(), "{}: no file of Keras {dialect}", folder.display());
            for (path, format) in files {
                let found = problems_of(&path, format, (&cases.input, expected));
                problems.extend(found.into_iter().map(|problem| format!("{}: {problem}", path.display())));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// What is not as Keras says.
fn problems_of(
    path: &Path,
    format: ModelFormat,
    (input, expected): (&Numbers, &BTreeMap<String, Numbers>),
) -> Vec<String> {
    let model = match open(path, format) {
        Ok(model) => model,
        Err(error) => return vec![error.to_string()],
    };
    let graph = match model.graph(Some([input.shape[1], input.shape[2], input.shape[3]])) {
        Ok(graph) => graph,
        Err(faults) => return faults,
    };
    let values = match reference::evaluate(&graph, &input.exact(), Budget::default()) {
        Ok(values) => values,
        Err(fault) => return vec![fault.to_string()],
    };
    let names: Vec<&String> = model.outputs.iter().map(|node| &model.nodes[*node].name).collect();
    assert_eq!(names.len(), expected.len());
    let all = names.iter().zip(&values).zip(&graph.outputs);
    all.filter_map(|((name, found), output)| {
        let tolerance = if is_bicubic(&graph, *output) { BICUBIC_TOLERANCE } else { TOLERANCE };
        Some(format!("`{name}` {}", problem(found, &expected[*name].exact(), tolerance)?))
    })
    .collect()
}

/// Returns whether a value comes from pixels of a bicubic interpolation.
fn is_bicubic(graph: &Graph, value: Value) -> bool {
    let (mut waiting, mut seen) = (vec![value], HashSet::new());
    while let Some(value) = waiting.pop() {
        let node = graph.node(value);
        if let Op::Resize(Resize { interpolation: Interpolation::Bicubic, antialias: false, .. }) = node.op {
            return true;
        }
        waiting.extend(node.inputs.iter().filter(|input| seen.insert(**input)));
    }
    false
}

fn problem(found: &Array, expected: &Array, tolerance: f64) -> Option<String> {
    if found.shape != expected.shape {
        return Some(format!("has shape {:?}, expected {:?}", found.shape, expected.shape));
    }
    let bound = tolerance * expected.values.iter().fold(1.0_f64, |most, value| most.max(value.abs()));
    let mut pairs = found.values.iter().zip(&expected.values);
    let (found, expected) = pairs.find(|(found, expected)| {
        let difference = (*found - *expected).abs();
        difference.is_nan() || difference > bound
    })?;
    Some(format!("has the value {found}, expected {expected}"))
}
