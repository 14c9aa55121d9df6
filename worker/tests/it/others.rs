//! Model files from other sources: of older Keras versions, from converters, and typical beginners' networks. Each
//! scores as its Keras does, or its error names the next step. `tests/fixtures/others/README.md` lists the sources of
//! the files.

use std::fs;
use std::path::PathBuf;

use common::ids::ModelName;
use common::package::{Catalog, ModelFormat};
use engine::npy;
use engine::{Batch, Engine, LoadError};
use keras::layers::Layer;
use keras::{self, ImportError};

use crate::support::library;
use testing::numbers::largest_difference;
use testing::repository;

/// The accepted difference of scores: sums in another order, over pixel values up to 255.
const TOLERANCE: f32 = 2e-4;

fn fixture(name: &str) -> PathBuf {
    repository().join("worker/tests/fixtures/others").join(name)
}

fn format_of(name: &str) -> ModelFormat {
    if name.ends_with(".keras") { ModelFormat::KerasArchive } else { ModelFormat::Hdf5 }
}

/// Asserts that a file scores as in Keras, for images of this shape.
fn check(name: &str, image: [usize; 3]) {
    let model = keras::open(&fixture(name), format_of(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    check_model(name, model, image);
}

fn check_model(name: &str, model: keras::Model, image: [usize; 3]) {
    let (stem, _) = name.rsplit_once('.').unwrap();
    let input = npy::read(&fixture(&format!("{stem}.in.npy"))).unwrap();
    let expected = npy::read(&fixture(&format!("{stem}.out.npy"))).unwrap();
    let engine = worker::engines::engine(library(), model, image).unwrap_or_else(|e| panic!("{name}: {e}"));
    let scores = engine.predict(&Batch::new(input.shape[0], image, input.values)).unwrap();
    let difference = largest_difference(&scores.values, &expected.values);
    assert!(difference <= TOLERANCE, "{name}: differs by {difference}, expected at most {TOLERANCE}");
}

/// Returns the problem of a file with these bytes, packaged with this extension.
fn problem_of(bytes: &[u8], ending: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("m.{ending}"));
    fs::write(&path, bytes).unwrap();
    match keras::open(&path, format_of(&format!("m.{ending}"))) {
        Err(ImportError::Faulty { problems }) => problems.join("; "),
        other => panic!("{ending}: {other:?}"),
    }
}

#[test]
fn a_shape_beside_the_layers_of_a_model_is_read() {
    check("k2_model_config_batch_input_shape.h5", [16, 16, 3]);
}

#[test]
fn images_without_a_channel_axis_are_grey_ones() {
    check("k2_flat28.h5", [28, 28, 1]);
    check("k3_flat28.h5", [28, 28, 1]);
    check("k3_flat784.h5", [28, 28, 1]);
}

#[test]
fn images_are_given_with_their_channels_first_to_models_that_take_them_so() {
    for name in ["made2_channels_first.h5", "made3_channels_first.keras"] {
        let model = keras::open(&fixture(name), format_of(name)).unwrap();
        let stem = name.rsplit_once('.').unwrap().0;
        let input = npy::read(&fixture(&format!("{stem}.in.npy"))).unwrap();
        let expected = npy::read(&fixture(&format!("{stem}.out.npy"))).unwrap();
        let [images, channels, height, width] = input.shape[..] else { panic!("{:?}", input.shape) };
        let mut last = Vec::new();
        for image in input.values.chunks(channels * height * width) {
            let pixels = height * width;
            last.extend((0..pixels).flat_map(|pixel| (0..channels).map(move |c| image[c * pixels + pixel])));
        }
        let image = [height, width, channels];
        let engine = worker::engines::engine(library(), model, image).unwrap();
        let scores = engine.predict(&Batch::new(images, image, last)).unwrap();
        let difference = largest_difference(&scores.values, &expected.values);
        assert!(difference <= TOLERANCE, "{name}: differs by {difference}");
    }
}

#[test]
fn an_input_that_no_image_fits_is_refused_with_what_would_fit() {
    for (name, image, says) in [
        ("k2_flat28.h5", [28, 28, 3], "has shape [28, 28], which takes grey images"),
        ("k3_flat784.h5", [28, 27, 1], "of an image of 784 values, which it gets in a row"),
        ("made2_channels_first.h5", [12, 10, 3], "has shape [3, 10, 12]"),
    ] {
        let model = keras::open(&fixture(name), format_of(name)).unwrap();
        let Err(LoadError::Unservable(problems)) = worker::engines::engine(library(), model, image) else {
            panic!("{name} was loaded")
        };
        assert!(problems.len() == 1 && problems[0].contains(says), "{name}: {problems:?}");
    }
}

#[test]
fn a_package_with_a_flat_model_is_served_from_its_config() {
    for shape in ["[28, 28]", "[28, 28, 1]"] {
        for name in ["k2_flat28.h5", "k3_flat784.h5"] {
            let models = tempfile::tempdir().unwrap();
            let folder = models.path().join("m");
            fs::create_dir(&folder).unwrap();
            fs::copy(fixture(name), folder.join("m.h5")).unwrap();
            let config = format!(
                r#"{{"img_preproc_type": "no_prepro", "image_preproc_config": {{"input_shape": {shape}}},
                "output_postproc_type": "argmax", "output_config": {{"output_classes": [0,1,2,3,4,5,6,7,8,9]}}}}"#
            );
            fs::write(folder.join("m_config.json"), config).unwrap();
            let package = Catalog::new(models.path()).open(&ModelName::parse("m").unwrap()).unwrap();
            worker::engines::load(library(), &package).unwrap_or_else(|e| panic!("{name}, {shape}: {e}"));
        }
    }
}

#[test]
fn archives_of_the_first_versions_number_layers_with_weights_twice() {
    check("keras213_linux_numbering.keras", [32, 32, 3]);
    // With nested models and layers, and other layers of the class without weights.
    check("made2_numbered_linux.keras", [6, 5, 3]);
    check("made2_numbered_windows.keras", [6, 5, 3]);
}

#[test]
fn lora_is_read_if_it_was_merged_into_the_weights_and_refused_if_it_is_separate() {
    check("made3_lora.keras", [6, 5, 3]);
    let found = problem_of(&fs::read(fixture("made3_lora_apart.h5")).unwrap(), "h5");
    assert!(found.contains("`dense`") || found.contains("layer `dense"), "{found}");
    assert!(found.contains("lora_kernel_a") && found.contains("save the model as .keras"), "{found}");
}

#[test]
fn refusals_tell_the_next_step() {
    for (name, says) in [
        (
            "made3_int8.keras",
            "it is quantized (\"int8\"), which is not supported: save the model as it was before",
        ),
        ("made3.weights.h5", "then `model.save(\"NAME.keras\")`"),
        ("made2_no_shape.h5", "begin it with `keras.Input((224, 224, 3))`"),
    ] {
        let ending = name.rsplit_once('.').unwrap().1;
        let found = problem_of(&fs::read(fixture(name)).unwrap(), ending);
        assert!(found.contains(says), "{name}: {found}");
    }
}

/// Behind a rectifier, which gives 0 for it, the warm-up does not notice it.
#[test]
fn weights_that_are_not_finite_are_refused_with_the_layers_name() {
    let path = repository().join("models/digits/digits.hdf5");
    let sound = fs::read(&path).unwrap();
    let model = keras::open(&path, ModelFormat::Hdf5).unwrap();
    let (name, kernel) = model
        .nodes
        .iter()
        .find_map(|node| {
            let Layer::Conv2d(conv) = &node.layer else { return None };
            Some((&node.name, &conv.kernel))
        })
        .unwrap();
    // Where the file has its first weights.
    let start: Vec<u8> = kernel.values[..4].iter().flat_map(|value| value.to_le_bytes()).collect();
    let position = sound.windows(start.len()).position(|bytes| bytes == start).unwrap();
    for (value, shown) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
        let mut bytes = sound.clone();
        bytes[position + 4..position + 8].copy_from_slice(&value.to_le_bytes());
        let found = problem_of(&bytes, "hdf5");
        let count = kernel.values.len();
        let expected = format!(
            "layer `{name}` (`Conv2D`): `kernel` has 1 of {count} values that are not finite (the first is {shown}), \
             expected numbers"
        );
        assert!(found.starts_with(&expected), "{found}");
    }
}

#[test]
fn operations_on_images_and_vectors_score_as_in_keras() {
    for name in
        ["k2_image_resize.h5", "k2_op_gray.h5", "k3_op_gray.keras", "k2_op_l2norm.h5", "k3_op_l2norm.keras"]
    {
        check(name, [32, 32, 3]);
    }
}

#[test]
fn sizes_that_are_asked_for_in_a_run_and_blocks_as_images_score_as_in_keras() {
    check("k2_op_shape_reshape.h5", [32, 32, 3]);
    check("k2_reshape_folds_batch.h5", [32, 32, 3]);
}

#[test]
fn a_lambda_of_a_function_of_keras_is_that_function() {
    check("k2_lambda_named.h5", [32, 32, 3]);
}

#[test]
fn the_first_bytes_tell_the_format_and_not_the_name() {
    let folder = tempfile::tempdir().unwrap();
    for (name, other, image) in
        [("k2_flat28.h5", "keras", [28, 28, 1]), ("k3_op_l2norm.keras", "h5", [32, 32, 3])]
    {
        let path = folder.path().join(format!("m.{other}"));
        fs::copy(fixture(name), &path).unwrap();
        let model =
            keras::open(&path, format_of(&format!("m.{other}"))).unwrap_or_else(|e| panic!("{name}: {e}"));
        check_model(name, model, image);
        assert!(keras::written_by(&path, format_of(&format!("m.{other}"))).is_some(), "{name}");
    }
}

#[test]
fn what_stands_in_place_of_a_model_is_named_with_the_next_step() {
    let pointer = "version https://git-lfs.github.com/spec/v1\n\
        oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";
    for ending in ["h5", "keras"] {
        let found = problem_of(pointer.as_bytes(), ending);
        assert!(found.contains("a pointer of Git LFS") && found.contains("git lfs pull"), "{found}");
        let found = problem_of(b"<!DOCTYPE html>\n<html><body>404</body></html>", ending);
        assert!(found.contains("a web page"), "{found}");
    }
}
