//! Whole networks from files of Keras 2 and Keras 3: the same scores as in Keras, end to end.

use std::path::{Path, PathBuf};
use std::process::Command;

use common::ids::ModelName;
use common::package::{Catalog, ModelFormat, Package};
use engine::npy::{self, Array};
use engine::{Batch, Engine};
use tensorflow_engine::{Convolutions, Library};

use crate::support::library;
use testing::numbers::{largest, largest_difference};
use testing::repository;

/// Of the largest score.
const TOLERANCE: f32 = 1e-4;

/// The mean difference of a score if convolutions compute with 8 bits of precision, one after the other. With Keras's
/// own policy `mixed_bfloat16` it is 0.0031 for ResNet50 and 0.0024 for MobileNetV2 on the same images.
const BFLOAT16: std::ops::RangeInclusive<f32> = 0.0005..=0.004;

#[test]
fn a_small_network_scores_as_in_keras() {
    check("cnn");
}

#[test]
fn nested_models_score_as_in_keras() {
    check("nested");
}

#[test]
fn shared_layers_score_as_in_keras() {
    check("shared");
}

#[test]
fn operations_score_as_in_keras() {
    check("operations");
}

#[test]
fn a_small_convnext_scores_as_in_keras() {
    check("convnext");
}

#[test]
fn normalizations_by_image_score_as_in_keras() {
    check("normalizations");
}

#[test]
fn a_small_vision_transformer_scores_as_in_keras() {
    check("vision_transformer");
}

#[test]
fn a_model_of_mixed_precision_scores_as_in_keras_in_float32() {
    check("mixed_float16");
}

#[test]
fn mobilenet_v3_scores_as_in_keras() {
    check("mobilenet_v3");
}

#[test]
fn mobilenet_v2_scores_as_in_keras() {
    check("mobilenet_v2");
}

#[test]
fn resnet50_scores_as_in_keras() {
    check_in("resnet50", &[("model.hdf5", ModelFormat::Hdf5)]);
}

#[test]
fn vgg16_scores_as_in_keras() {
    check_in("vgg16", &[("model.hdf5", ModelFormat::Hdf5)]);
}

/// Parameters as `keras.applications` counts them for 50 classes.
#[test]
fn real_architectures_are_imported_completely() {
    for (name, expected) in [("mobilenet_v2", 2_322_034), ("resnet50", 23_690_162), ("vgg16", 40_093_554)] {
        for folder in fixtures(name) {
            let model = keras::open(&folder.join("model.hdf5"), ModelFormat::Hdf5).unwrap();
            let parameters: usize = model.summary.iter().map(|row| row.parameters).sum();
            assert_eq!((parameters, model.outputs.len()), (expected, 1), "{name}");
        }
    }
}

/// If the CPU does not support it, the package is served in float32.
#[test]
fn a_package_that_asks_for_bfloat16_scores_nearly_as_in_keras() {
    let bounds = if library().bfloat16.is_some() { BFLOAT16 } else { 0.0..=TOLERANCE };
    for name in ["resnet50", "mobilenet_v2"] {
        check_in_bfloat16(name, library(), &bounds);
    }
}

#[test]
fn convolutions_in_bfloat16_that_every_tensorflow_has_score_nearly_as_in_keras() {
    let bfloat16 = Some(Convolutions::PlainBfloat16);
    check_in_bfloat16("mobilenet_v2", &Library { bfloat16, ..library().clone() }, &BFLOAT16);
}

fn check_in_bfloat16(name: &str, library: &Library, bounds: &std::ops::RangeInclusive<f32>) {
    let [_, folder] = fixtures(name);
    let input = read(&folder.join("input.npy"));
    let expected = read(&folder.join("scores.npy"));
    let [images, height, width, channels] = input.shape[..] else { panic!("{:?}", input.shape) };
    let models = tempfile::tempdir().unwrap();
    let shape = [height, width, channels];
    let package = package_in_bfloat16(models.path(), &folder.join("model.hdf5"), shape, expected.shape[1]);
    let engine = worker::engines::load(library, &package).unwrap_or_else(|e| panic!("{name}: {e}"));
    let scores = engine.predict(&Batch::new(images, shape, input.values)).unwrap();
    let apart: f32 = scores.values.iter().zip(&expected.values).map(|(a, b)| (a - b).abs()).sum();
    #[expect(clippy::cast_precision_loss, reason = "some hundred scores")]
    let difference = apart / scores.values.len() as f32;
    assert!(bounds.contains(&difference), "{name}: differs by {difference} on average, expected {bounds:?}");
}

fn package_in_bfloat16(models: &Path, model: &Path, shape: [usize; 3], classes: usize) -> Package {
    let folder = models.join("short");
    std::fs::create_dir(&folder).unwrap();
    std::os::unix::fs::symlink(model, folder.join("short.hdf5")).unwrap();
    let labels: Vec<String> = (0..classes).map(|class| class.to_string()).collect();
    let config = format!(
        r#"{{"precision": "bfloat16", "img_preproc_type": "no_prepro",
            "image_preproc_config": {{"input_shape": {shape:?}}}, "output_postproc_type": "argmax",
            "output_config": {{"output_classes": {labels:?}}}}}"#
    );
    std::fs::write(folder.join("short_config.json"), config).unwrap();
    Catalog::new(models).open(&ModelName::parse("short").unwrap()).unwrap()
}

fn check(name: &str) {
    check_in(name, &[("model.hdf5", ModelFormat::Hdf5), ("model.keras", ModelFormat::KerasArchive)]);
}

fn check_in(name: &str, files: &[(&str, ModelFormat)]) {
    for folder in fixtures(name) {
        for (file, format) in files {
            check_file(&folder, file, *format);
        }
    }
}

fn check_file(folder: &Path, file: &str, format: ModelFormat) {
    let shown = format!("{}/{file}", folder.file_name().unwrap().to_string_lossy());
    let input = read(&folder.join("input.npy"));
    let expected = read(&folder.join("scores.npy"));
    check_that_scores_tell_images_apart(&shown, &expected);

    let [images, height, width, channels] = input.shape[..] else { panic!("{:?}", input.shape) };
    let model = keras::open(&folder.join(file), format).unwrap_or_else(|e| panic!("{shown}: {e}"));
    let image = [height, width, channels];
    let engine = worker::engines::engine(library(), model, image).unwrap_or_else(|e| panic!("{shown}: {e}"));
    let scores = engine.predict(&Batch::new(images, image, input.values)).unwrap();

    assert_eq!([images, scores.classes], expected.shape[..], "{shown}");
    let difference = largest_difference(&scores.values, &expected.values);
    let bound = TOLERANCE * largest(&expected.values);
    assert!(difference <= bound, "{shown}: scores differ by {difference}, expected at most {bound}");
    let best: Vec<usize> = scores.values.chunks(scores.classes).map(argmax).collect();
    let expected: Vec<usize> = expected.values.chunks(scores.classes).map(argmax).collect();
    assert_eq!(best, expected, "{shown}");
}

/// If scores are the same for every image, comparing them proves nothing.
fn check_that_scores_tell_images_apart(name: &str, scores: &Array) {
    let rows: Vec<&[f32]> = scores.values.chunks(scores.shape[1]).collect();
    let apart = 100.0 * TOLERANCE * largest(&scores.values);
    for (index, row) in rows.iter().enumerate() {
        for other in &rows[..index] {
            assert!(largest_difference(row, other) > apart, "{name}: two images have the same scores");
        }
    }
    let mut best: Vec<usize> = rows.into_iter().map(argmax).collect();
    best.sort_unstable();
    best.dedup();
    assert!(best.len() > 1, "{name}: every image has the same best class");
}

fn argmax(scores: &[f32]) -> usize {
    (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap()
}

fn read(path: &Path) -> Array {
    npy::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Returns the fixture's folders, one per Keras version, created if they are missing or older than their script.
pub(crate) fn fixtures(name: &str) -> [PathBuf; 2] {
    make("tools/parity/make_models.py", &[name]);
    [2, 3].map(|dialect| repository().join(format!(".cache/fixtures/parity/{name}_keras{dialect}")))
}

/// Runs a script that creates fixtures which are missing or older than itself.
pub(crate) fn make(script: &str, arguments: &[&str]) {
    /// One script at a time, whichever process and test runs it.
    const UNDER_LOCK: &str = "import fcntl, runpy, sys
lock = open(sys.argv[1], 'w')
fcntl.flock(lock, fcntl.LOCK_EX)
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name='__main__')";

    let fixtures = repository().join(".cache/fixtures");
    std::fs::create_dir_all(&fixtures).unwrap();
    let python = repository().join(".cache/python/bin/python");
    assert!(
        python.exists(),
        "there is no `{}`: run `python3 -m venv .cache/python && .cache/python/bin/pip install -r \
         tools/requirements.txt`",
        python.display()
    );
    let made = Command::new(python)
        .args(["-c", UNDER_LOCK])
        .arg(fixtures.join("parity.lock"))
        .arg(repository().join(script))
        .args(arguments)
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{script} {} failed:\n{shown}", arguments.join(" "));
}
