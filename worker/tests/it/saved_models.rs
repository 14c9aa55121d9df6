//! SavedModel folders and models with several outputs: served with the scores of Keras and TensorFlow, or refused with
//! all their problems. `tools/parity/make_saved_models.py` creates the folders.

mod hostile;

use std::fs;
use std::path::{Path, PathBuf};

use common::ids::ModelName;
use common::package::{Catalog, ModelFormat, Package};
use engine::npy;
use engine::{Batch, Engine, LoadError};
use keras::{self, ImportError};
use serde_json::{Value, json};
use tempfile::TempDir;
use tensorflow_engine::{TensorflowEngine, describe};

use crate::parity::make;
use crate::support::library;
use testing::numbers::largest_difference;
use testing::repository;

/// The accepted difference of scores.
const TOLERANCE: f32 = 1e-5;

#[test]
fn a_folder_that_keras_3_exports_scores_as_in_keras() {
    check("keras3_export", "savedmodel", None, "", TOLERANCE);
}

#[test]
fn a_folder_that_keras_2_saves_scores_as_in_keras() {
    check("keras2_save", "savedmodel", None, "", TOLERANCE);
}

#[test]
fn loops_tables_from_files_and_half_precision_score_as_in_tensorflow() {
    // Scores of half precision have 11 bits.
    check("module", "savedmodel", None, "", 1e-3);
}

#[test]
fn the_importer_refuses_the_layer_that_a_saved_model_may_have() {
    let path = fixture("keras3_export").join("model.keras");
    let error = keras::open(&path, ModelFormat::KerasArchive).unwrap_err();
    let ImportError::Faulty { problems } = error else { panic!("{error}") };
    assert!(problems.len() == 1 && problems[0].contains("`gate`"), "{problems:?}");
}

#[test]
fn the_named_one_of_several_outputs_gives_the_scores() {
    for ending in ["keras", "hdf5", "savedmodel"] {
        check("outputs_keras3", ending, Some("kind"), "_0", TOLERANCE);
        check("outputs_keras3", ending, Some("tint"), "_1", TOLERANCE);
        check("outputs_keras2", ending, Some("animal"), "_0", TOLERANCE);
        check("outputs_keras2", ending, Some("colour"), "_1", TOLERANCE);
    }
}

#[test]
fn an_output_that_is_not_named_or_not_there_is_refused_with_the_names() {
    for (name, names) in [("outputs_keras3", "`kind`, `tint`"), ("outputs_keras2", "`animal`, `colour`")] {
        for ending in ["keras", "hdf5", "savedmodel"] {
            let problems = |output_name| problems_of(&package(name, ending, output_name, |_| ()).1);
            let unnamed = problems(None);
            assert_eq!(unnamed.len(), 1, "{unnamed:?}");
            assert!(unnamed[0].contains(&format!("2 outputs ({names}), expected")), "{unnamed:?}");
            let unknown = problems(Some("dense"));
            assert_eq!(
                unknown,
                [format!("`output_config.output_name` is `dense`, but the model's outputs are {names}")]
            );
        }
    }
}

#[test]
fn a_saved_model_says_who_wrote_it_and_what_it_takes_and_gives() {
    let said = describe(&fixture("keras2_save").join("model.savedmodel")).unwrap();
    assert_eq!(said.tensorflow_version.as_deref(), Some("2.21.0"));
    assert_eq!(said.signature.name, "serving_default");
    let shown = |tensors: &[tensorflow_engine::TensorInfo]| {
        tensors.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(shown(&said.signature.inputs), ["image: float32 (None, 8, 8, 3)"]);
    assert_eq!(shown(&said.signature.outputs), ["scores: float32 (None, 3)"]);
    let module = describe(&fixture("module").join("model.savedmodel")).unwrap().signature;
    assert_eq!(
        (module.name.as_str(), shown(&module.outputs)),
        ("predict", vec!["probabilities: float16 (None, 4)".to_owned()])
    );
}

#[test]
fn a_saved_model_scores_from_several_threads() {
    for name in ["keras3_export", "module"] {
        let (batch, expected) = batch_of(name, "");
        let labels = expected.len() / batch.images;
        let (_folder, package) = package(name, "savedmodel", None, with_labels(labels));
        let engine = load(&package).unwrap();
        let expected = &expected;
        std::thread::scope(|scope| {
            for images in 1..=batch.images {
                let (engine, size) = (&engine, batch.pixels.len() / batch.images);
                let part = Batch::new(images, batch.shape, batch.pixels.part(0..images * size));
                scope.spawn(move || {
                    let scores = engine.predict(&part).unwrap();
                    let expected = &expected[..images * scores.classes];
                    assert!(largest_difference(&scores.values, expected) < 1e-3, "{name}: {images} images");
                });
            }
        });
    }
}

fn check(name: &str, ending: &str, output_name: Option<&str>, scores: &str, tolerance: f32) {
    let shown = format!("{name}.{ending}, {output_name:?}");
    let (batch, expected) = batch_of(name, scores);
    let labels = expected.len() / batch.images;
    let (_folder, package) = package(name, ending, output_name, with_labels(labels));
    let engine = load(&package).unwrap_or_else(|e| panic!("{shown}: {e}"));
    let found = engine.predict(&batch).unwrap_or_else(|e| panic!("{shown}: {e}"));
    let difference = largest_difference(&found.values, &expected);
    assert!(difference <= tolerance, "{shown}: differs by {difference}, expected at most {tolerance}");
}

/// Gives a config so many labels.
fn with_labels(labels: usize) -> impl FnOnce(&mut Value) {
    let classes: Vec<String> = (0..labels).map(|n| format!("class {n}")).collect();
    move |config| config["output_config"]["output_classes"] = json!(classes)
}

fn load(package: &Package) -> Result<TensorflowEngine, LoadError> {
    worker::engines::load(library(), package)
}

/// Returns the input and the scores of a fixture.
fn batch_of(name: &str, scores: &str) -> (Batch, Vec<f32>) {
    let folder = fixture(name);
    let input = npy::read(&folder.join("input.npy")).unwrap();
    let [images, height, width, channels] = input.shape[..] else { panic!("{:?}", input.shape) };
    let batch = Batch::new(images, [height, width, channels], input.values);
    (batch, npy::read(&folder.join(format!("scores{scores}.npy"))).unwrap().values)
}

fn fixture(name: &str) -> PathBuf {
    static MADE: std::sync::Once = std::sync::Once::new();
    MADE.call_once(|| make("tools/parity/make_saved_models.py", &[]));
    repository().join(".cache/fixtures/saved_models").join(name)
}

/// Creates a package with a fixture's model and a config for three labels, changed by `change`.
fn package(
    name: &str,
    ending: &str,
    output_name: Option<&str>,
    change: impl FnOnce(&mut Value),
) -> (TempDir, Package) {
    let mut config = json!({
        "img_preproc_type": "no_prepro", "image_preproc_config": {"input_shape": [8, 8, 3]},
        "output_postproc_type": "argmax", "output_config": {"output_classes": ["a", "b", "c"]},
    });
    if let Some(output_name) = output_name {
        config["output_config"]["output_name"] = json!(output_name);
    }
    change(&mut config);
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("m");
    fs::create_dir(&to).unwrap();
    fs::write(to.join("m_config.json"), config.to_string()).unwrap();
    copy(&fixture(name).join(format!("model.{ending}")), &to.join(format!("m.{ending}")));
    let package = Catalog::new(folder.path()).open(&ModelName::parse("m").unwrap()).unwrap();
    (folder, package)
}

/// Copies a file, or a folder with its content.
fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).unwrap();
    }
}

fn problems_of(package: &Package) -> Vec<String> {
    match load(package) {
        Ok(_) => panic!("it was loaded"),
        Err(LoadError::Unservable(problems)) => problems,
        Err(LoadError::Unavailable(reason)) => panic!("unavailable: {reason}"),
    }
}
