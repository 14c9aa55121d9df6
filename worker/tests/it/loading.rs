//! Packages become engines, or the list of all their problems.

use std::fs;
use std::sync::Arc;

use common::ids::ModelName;
use common::package::{Catalog, ModelFormat, Package};
use engine::npy;
use engine::{Batch, Device, Engine, LoadError, Pixels};
use keras::layers::{Activation, Dense, Edges, Interpolation, Layer};
use keras::{Model, Node, Tensor};
use tempfile::TempDir;
use tensorflow_engine::{Convolutions, Library, Spread, TensorflowEngine};

use crate::parity::fixtures;
use crate::support::library;
use testing::numbers::largest_difference;

#[test]
fn a_package_loads_and_scores_from_several_threads() {
    let (_folder, package) = package(None, None);
    let engine = worker::engines::load(library(), &package).unwrap();
    assert!(
        *engine.device() == Device::Cpu || engine.device().name().starts_with("gpu"),
        "{:?}",
        engine.device()
    );

    let [_, folder] = fixtures("cnn");
    let input = npy::read(&folder.join("input.npy")).unwrap();
    let expected = npy::read(&folder.join("scores.npy")).unwrap();
    let (size, classes) = (input.values.len() / input.shape[0], expected.shape[1]);
    std::thread::scope(|scope| {
        for images in (1..=input.shape[0]).rev() {
            let (engine, input, expected) = (&engine, &input, &expected);
            scope.spawn(move || {
                let pixels = input.values[..images * size].to_vec();
                let scores = engine.predict(&Batch::new(images, engine.image(), pixels)).unwrap();
                let difference = largest_difference(&scores.values, &expected.values[..images * classes]);
                assert!(difference < 1e-4, "{images} images: {difference}");
            });
        }
    });
}

#[test]
fn a_run_over_all_cores_gives_the_same_scores() {
    let [_, folder] = fixtures("cnn");
    let input = npy::read(&folder.join("input.npy")).unwrap();
    let expected = npy::read(&folder.join("scores.npy")).unwrap();
    let model = keras::open(&folder.join("model.hdf5"), ModelFormat::Hdf5).unwrap();
    let image = input.shape[1..].try_into().unwrap();
    let engine = worker::engines::engine(library(), model, image).unwrap();
    assert!(engine.has_all_cores_session() || library().cores == 1 || library().device != Device::Cpu);
    let batch = Batch::new(input.shape[0], image, input.values);
    for spread in [Spread::OneCore, Spread::AllCores] {
        let scores = engine.run_bare(&batch, spread).unwrap();
        let difference = largest_difference(&scores.values, &expected.values);
        assert!(difference < 1e-4, "{spread:?}: {difference}");
    }
}

/// Graph and runs are those for a GPU; the scores are the same on any device.
#[test]
fn runs_for_a_gpu_take_uint8_and_are_filled_up() {
    let (_folder, package) = package(None, None);
    let processor = Library { convolutions: Convolutions::Plain, ..library().clone() };
    let device = Device::Gpu("gpu:0".to_owned());
    let gpu = Library { device, max_batch_size: 4, ..processor.clone() };
    let [expected, engine] =
        [&processor, &gpu].map(|library| worker::engines::load(library, &package).unwrap());
    assert_eq!(engine.device().name(), "gpu:0");
    let shape = engine.image();
    let size: usize = shape.iter().product();
    // 7 images need two runs; 3 need one with a free slot.
    for images in [1, 3, 4, 7] {
        let values: Vec<u8> = (0..=255).rev().cycle().step_by(7).take(images * size).collect();
        let uint8 = Pixels::Uint8 { values, divisor: 51.0 };
        let float32 = Pixels::Float32(uint8.values().into_owned());
        let reference = expected.predict(&Batch::new(images, shape, float32.clone())).unwrap();
        for pixels in [uint8, float32] {
            let scores = engine.predict(&Batch::new(images, shape, pixels)).unwrap();
            let difference = largest_difference(&scores.values, &reference.values);
            assert!(difference < 1e-6, "{images} images: {difference}");
        }
    }
}

#[test]
fn every_disagreement_of_config_and_model_is_told_at_once() {
    let problems = problems_of(load(package(Some([24, 24, 1]), Some(3))));
    assert!(
        problems.iter().any(|p| p.contains("`image_preproc_config.input_shape` is [24, 24, 1]")),
        "{problems:?}"
    );

    let problems = problems_of(load(package(None, Some(3))));
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].ends_with("`output_config.output_classes` has 3 labels"), "{problems:?}");
}

#[test]
fn a_damaged_model_is_unservable_and_a_missing_one_unavailable() {
    let (folder, package) = package(None, None);
    fs::write(&package.model.path, "not a model").unwrap();
    problems_of(load((folder, package.clone())));
    let _ = fs::remove_file(&package.model.path);
    let error = worker::engines::load(library(), &package).err().unwrap();
    assert!(matches!(error, LoadError::Unavailable(_)), "{error}");
}

#[test]
fn weights_that_are_not_finite_are_found_by_the_warm_up() {
    let problems = problems_of(worker::engines::engine(library(), classifier(f32::NAN, 2), [2, 2, 3]));
    assert!(problems[0].contains("warm-up"), "{problems:?}");
}

#[test]
fn a_model_of_two_outputs_is_refused_with_their_names() {
    let mut model = classifier(0.5, 2);
    model.outputs = vec![1, 2];
    model.output_names = vec!["flat".to_owned(), "scores".to_owned()];
    let problems = problems_of(worker::engines::engine(library(), model, [2, 2, 3]));
    assert_eq!(
        problems,
        ["the model has 2 outputs (`flat`, `scores`), expected 1 with the scores, or its name in \
          `output_config.output_name`"]
    );
}

#[test]
fn every_layer_that_cannot_be_built_is_named() {
    let mut model = classifier(0.5, 2);
    let bad = |name: &str| Node {
        name: name.to_owned(),
        class: "Dense".to_owned(),
        layer: dense(7, 1, 0.5),
        inputs: vec![1],
    };
    model.nodes.splice(2..2, [bad("first"), bad("second")]);
    model.nodes[4].inputs = vec![3];
    model.outputs = vec![4];
    let problems = problems_of(worker::engines::engine(library(), model, [2, 2, 3]));
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert_eq!(problems[0], "layer `first` (Dense): its input has shape [12], expected 7 on the last axis");
    assert!(problems[1].starts_with("layer `second` (Dense): "), "{problems:?}");
}

#[test]
fn nothing_empty_reaches_the_library() {
    let problems = problems_of(worker::engines::engine(library(), classifier(0.5, 2), [2, 0, 3]));
    assert_eq!(problems, ["an image of shape [2, 0, 3] is empty"]);
    let problems = problems_of(worker::engines::engine(library(), classifier(0.5, 0), [2, 2, 3]));
    assert_eq!(problems, ["layer `scores` (Dense): a weight of shape [12, 0] is empty"]);
}

#[test]
fn what_would_take_all_memory_is_refused_before_it_is_run() {
    let factors = [1 << 12, 1 << 12];
    let enlarged = Layer::UpSampling2d { factors, interpolation: Interpolation::Nearest };
    // What is cropped again existed for a moment.
    let edges = Edges { top: 5_000, bottom: 0, left: 5_000, right: 0 };
    let padded = Layer::Sequential(vec![Layer::ZeroPadding2d(edges), Layer::Cropping2d(edges)]);
    for (layer, says) in [
        (enlarged, "resize gives 201326592 values for an image, expected at most 16777216"),
        (padded, "pad gives 75060012 values for an image, expected at most 16777216"),
    ] {
        let mut model = classifier(0.5, 2);
        let large = Node { name: "large".to_owned(), class: "Large".to_owned(), layer, inputs: vec![0] };
        model.nodes.insert(1, large);
        model.nodes[2].inputs = vec![1];
        model.nodes[3].inputs = vec![2];
        model.outputs = vec![3];
        let problems = problems_of(worker::engines::engine(library(), model, [2, 2, 3]));
        assert_eq!(problems, [format!("layer `large` (Large): its {says}")]);
    }
}

/// Each row of the batch is small, but an image becomes 4096 of them.
#[test]
fn parts_of_an_image_in_the_batch_count_as_its_own() {
    let mut model = classifier(0.5, 2);
    let nodes = [
        ("large", Layer::UpSampling2d { factors: [32, 32], interpolation: Interpolation::Nearest }),
        ("folded", Layer::Rows { sizes: vec![1, 1, 3] }),
        ("enlarged", Layer::UpSampling2d { factors: [64, 64], interpolation: Interpolation::Nearest }),
    ];
    for (index, (name, layer)) in nodes.into_iter().enumerate() {
        let node = Node { name: name.to_owned(), class: "Large".to_owned(), layer, inputs: vec![index] };
        model.nodes.insert(index + 1, node);
    }
    model.nodes[4].inputs = vec![3];
    model.nodes[5].inputs = vec![4];
    model.outputs = vec![5];
    let problems = problems_of(worker::engines::engine(library(), model, [2, 2, 3]));
    assert_eq!(
        problems,
        ["layer `enlarged` (Large): its resize gives 50331648 values for an image, expected at most \
          16777216"]
    );
}

#[test]
fn a_batch_of_another_shape_is_refused() {
    let engine = worker::engines::engine(library(), classifier(0.5, 2), [2, 2, 3]).unwrap();
    let refuse = |images, shape, values| {
        engine.predict(&Batch::new(images, shape, vec![0.0; values])).unwrap_err().to_string()
    };
    assert!(refuse(1, [2, 3, 2], 12).contains("[2, 3, 2]"));
    assert!(refuse(2, [2, 2, 3], 12).contains("expected 24"));
    assert!(refuse(0, [2, 2, 3], 0).contains("at least 1"));
}

fn load((_folder, package): (TempDir, Package)) -> Result<TensorflowEngine, LoadError> {
    worker::engines::load(library(), &package)
}

fn problems_of(result: Result<TensorflowEngine, LoadError>) -> Vec<String> {
    match result {
        Ok(_) => panic!("it was loaded"),
        Err(LoadError::Unservable(problems)) => problems,
        Err(LoadError::Unavailable(reason)) => panic!("unavailable: {reason}"),
    }
}

/// The small network as a package whose config may differ from the model.
fn package(input_shape: Option<[usize; 3]>, labels: Option<usize>) -> (TempDir, Package) {
    let [_, fixture] = fixtures("cnn");
    let input = npy::read(&fixture.join("input.npy")).unwrap();
    let scores = npy::read(&fixture.join("scores.npy")).unwrap();
    let input_shape = input_shape.unwrap_or_else(|| input.shape[1..].try_into().unwrap());
    let labels: Vec<String> = (0..labels.unwrap_or(scores.shape[1])).map(|n| format!("class {n}")).collect();
    let config = serde_json::json!({
        "img_preproc_type": "no_prepro", "image_preproc_config": {"input_shape": input_shape},
        "output_postproc_type": "argmax", "output_config": {"output_classes": labels},
    });
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("m")).unwrap();
    fs::write(folder.path().join("m/m_config.json"), config.to_string()).unwrap();
    fs::copy(fixture.join("model.hdf5"), folder.path().join("m/m.hdf5")).unwrap();
    let package = Catalog::new(folder.path()).open(&ModelName::parse("m").unwrap()).unwrap();
    (folder, package)
}

fn classifier(weight: f32, classes: usize) -> Model {
    let node = |name: &str, class: &str, layer, inputs| Node {
        name: name.to_owned(),
        class: class.to_owned(),
        layer,
        inputs,
    };
    let shape = vec![Some(2), Some(2), Some(3)];
    Model {
        name: "made by hand".to_owned(),
        nodes: vec![
            node("image", "InputLayer", Layer::Input { shape }, vec![]),
            node("flat", "Flatten", Layer::Flatten, vec![0]),
            node("scores", "Dense", dense(12, classes, weight), vec![1]),
        ],
        input: 0,
        outputs: vec![2],
        output_names: vec!["scores".to_owned()],
        summary: Vec::new(),
    }
}

fn dense(inputs: usize, units: usize, weight: f32) -> Layer {
    let kernel = Tensor { shape: vec![inputs, units], values: Arc::from(vec![weight; inputs * units]) };
    Layer::Dense(Dense { kernel, bias: None, activation: Activation::Linear })
}
