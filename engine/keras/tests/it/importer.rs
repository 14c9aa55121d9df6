//! Files of Keras give models, and damaged files give errors that explain them.
//!
//! The files and what Keras says of them come from `tests/fixtures/keras/make.py`; the large models from
//! `tools/parity/make_models.py`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::package::ModelFormat;
use keras::layers::{Activation, Edges, Interpolation, Layer, Padding, PoolKind};
use keras::{ImportError, Model, SummaryRow, Tensor, open};
use serde::Deserialize;

/// What Keras says of a model.
#[derive(Deserialize)]
struct Facts {
    name: String,
    rows: Vec<Row>,
    /// By the layer's path: the sum of each weight, in Keras's order.
    weights: BTreeMap<String, Vec<f64>>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Row {
    name: String,
    class: String,
    parameters: usize,
    trainable: usize,
}

impl From<&SummaryRow> for Row {
    fn from(row: &SummaryRow) -> Self {
        let SummaryRow { name, class, node: _, parameters, trainable } = row.clone();
        Self { name, class, parameters, trainable }
    }
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keras").join(name)
}

/// The format that a file's name implies.
fn format_of(path: &Path) -> ModelFormat {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("keras") => ModelFormat::KerasArchive,
        _ => ModelFormat::Hdf5,
    }
}

pub(crate) fn read(path: &Path) -> Model {
    open(path, format_of(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn problems(path: &Path) -> Vec<String> {
    match open(path, format_of(path)) {
        Err(ImportError::Faulty { problems }) => problems,
        other => panic!("{}: {other:?}", path.display()),
    }
}

/// Asserts that a file's problems are these, by what each contains.
pub(crate) fn check_problems(file: &str, expected: &[&str]) {
    let found = problems(&fixture(file));
    assert_eq!(found.len(), expected.len(), "{file}: {found:#?}");
    for part in expected {
        assert!(found.iter().any(|problem| problem.contains(part)), "{file}: {part:?} is not in {found:#?}");
    }
}

/// Asserts that every weight and every row of the summary is what Keras says.
pub(crate) fn check_facts(model: &Model, facts: &str) {
    let facts: Facts =
        serde_json::from_str(&fs::read_to_string(fixture(facts)).expect("facts")).expect("JSON");
    assert_eq!(model.name, facts.name);
    let rows: Vec<Row> = model.summary.iter().map(Row::from).collect();
    assert_eq!(rows, facts.rows);

    let mut seen = BTreeMap::new();
    for node in &model.nodes {
        let sums: Vec<f64> = weights(&node.layer).iter().map(|weight| sum(weight)).collect();
        if !sums.is_empty() {
            seen.insert(node.name.split(':').next().unwrap_or_default().to_owned(), sums);
        }
    }
    let mut expected = facts.weights;
    if let Some(sums) = expected.get_mut("measured") {
        sums.truncate(2); // The third is a count, which inference does not need.
    }
    // Its values are in the config.
    seen.remove("given");
    assert_eq!(seen.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, expected) in &expected {
        let found = &seen[name];
        assert_eq!(found.len(), expected.len(), "{name}");
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-4 * expected.abs().max(1.0), "{name}: {found} {expected}");
        }
    }
}

/// A layer's weights in Keras's order.
fn weights(layer: &Layer) -> Vec<&Tensor> {
    match layer {
        Layer::Conv2d(conv) => [Some(&conv.kernel), conv.bias.as_ref()].into_iter().flatten().collect(),
        Layer::DepthwiseConv2d(conv) => {
            [Some(&conv.kernel), conv.bias.as_ref()].into_iter().flatten().collect()
        }
        Layer::SeparableConv2d(conv) => {
            [Some(&conv.depthwise), Some(&conv.pointwise), conv.bias.as_ref()].into_iter().flatten().collect()
        }
        Layer::Dense(dense) => [Some(&dense.kernel), dense.bias.as_ref()].into_iter().flatten().collect(),
        Layer::BatchNorm(norm) => {
            [norm.gamma.as_ref(), norm.beta.as_ref(), Some(&norm.mean), Some(&norm.variance)]
                .into_iter()
                .flatten()
                .collect()
        }
        Layer::LayerNorm(norm) => [norm.gamma.as_ref(), norm.beta.as_ref()].into_iter().flatten().collect(),
        Layer::Prelu { alpha } => vec![alpha],
        Layer::Normalization { mean, variance } | Layer::Denormalization { mean, variance } => {
            vec![mean, variance]
        }
        Layer::GroupNorm(norm) => [norm.gamma.as_ref(), norm.beta.as_ref()].into_iter().flatten().collect(),
        Layer::LocallyConnected2d(layer) => {
            [Some(&layer.kernel), layer.bias.as_ref()].into_iter().flatten().collect()
        }
        Layer::ConvTranspose2d(conv) => {
            [Some(&conv.kernel), conv.bias.as_ref()].into_iter().flatten().collect()
        }
        Layer::Sequential(layers) => layers.iter().flat_map(weights).collect(),
        Layer::OverSequence(layer) | Layer::ChannelsFirst(layer) | Layer::TimeDistributed(layer) => {
            weights(layer)
        }
        Layer::MultiHeadAttention(layer) => {
            let all = [
                Some(&layer.query),
                Some(&layer.key),
                layer.gate.as_ref(),
                Some(&layer.value),
                Some(&layer.output),
            ];
            all.into_iter()
                .flatten()
                .flat_map(|one| [Some(&one.kernel), one.bias.as_ref()])
                .flatten()
                .collect()
        }
        Layer::Attention(layer) => layer.scale.iter().collect(),
        Layer::Input { .. }
        | Layer::Identity
        | Layer::Activation(_)
        | Layer::Pool2d(_)
        | Layer::GlobalPool2d { .. }
        | Layer::ZeroPadding2d(_)
        | Layer::Cropping2d(_)
        | Layer::UpSampling2d { .. }
        | Layer::Flatten
        | Layer::Reshape { .. }
        | Layer::Rows { .. }
        | Layer::Permute { .. }
        | Layer::Merge(_)
        | Layer::Concatenate { .. }
        | Layer::ScaledAdd { .. }
        | Layer::Arithmetic(_)
        | Layer::Reduction(_)
        | Layer::Slice { .. }
        | Layer::Stack { .. }
        | Layer::UnitNorm(_)
        | Layer::SoftmaxOver { .. }
        | Layer::AdaptivePool2d(_)
        | Layer::Resize(_)
        | Layer::CenterCrop { .. }
        | Layer::AutoContrast { .. }
        | Layer::Own(_)
        | Layer::MultiOutput(_)
        | Layer::Constant(_)
        | Layer::Einsum(_)
        | Layer::MatrixProduct(_)
        | Layer::Function(_)
        | Layer::Comparison(_)
        | Layer::Select(_)
        | Layer::FullLike { .. }
        | Layer::Gather(_)
        | Layer::Pad(_)
        | Layer::Patches(_)
        | Layer::SpaceToDepth { .. }
        | Layer::DepthToSpace { .. }
        | Layer::Rescaling { .. } => Vec::new(),
    }
}

fn sum(tensor: &Tensor) -> f64 {
    assert_eq!(tensor.values.len(), tensor.shape.iter().product::<usize>());
    tensor.values.iter().map(|&value| f64::from(value)).sum()
}

#[test]
fn models_of_both_dialects_have_the_weights_and_sizes_that_keras_says() {
    for name in ["every_layer", "deep", "sequential", "half"] {
        for dialect in [2, 3] {
            let model = read(&fixture(&format!("{name}_keras{dialect}.hdf5")));
            check_facts(&model, &format!("{name}_keras{dialect}.json"));
        }
    }
}

#[test]
fn names_in_numbered_chunks_are_put_together() {
    check_facts(&read(&fixture("chunked_names.hdf5")), "sequential_keras3.json");
}

#[test]
fn where_names_do_not_tell_weights_go_by_the_order_in_which_keras_saves_them() {
    for dialect in [2, 3] {
        let model = read(&fixture(&format!("renamed_keras{dialect}.hdf5")));
        check_facts(&model, &format!("deep_keras{dialect}.json"));
    }
}

#[test]
fn the_settings_of_every_layer_are_read() {
    for dialect in [2, 3] {
        let model = read(&fixture(&format!("every_layer_keras{dialect}.hdf5")));
        let layer = |name: &str| &model.nodes.iter().find(|node| node.name == name).unwrap().layer;
        let Layer::Conv2d(conv) = layer("conv") else { panic!() };
        assert_eq!((conv.strides, conv.padding, conv.groups), ([2, 2], Padding::Same, 1));
        assert_eq!(conv.kernel.shape, [3, 2, 3, 4]);
        let max_value = if dialect == 2 { None } else { Some(6.0) };
        assert_eq!(conv.activation, Activation::Relu { max_value, negative_slope: 0.0, threshold: 0.0 });
        let Layer::Conv2d(conv) = layer("grouped") else { panic!() };
        assert_eq!((conv.dilation, conv.groups, conv.bias.is_none()), ([2, 2], 2, true));
        assert_eq!(conv.kernel.shape, [3, 3, 2, 4]);
        let Layer::BatchNorm(norm) = layer("unscaled") else { panic!() };
        assert!(norm.gamma.is_none() && norm.beta.is_some() && norm.epsilon == 0.01, "{norm:?}");
        let Layer::BatchNorm(norm) = layer("uncentered") else { panic!() };
        assert!(norm.gamma.is_some() && norm.beta.is_none(), "{norm:?}");
        let Layer::DepthwiseConv2d(conv) = layer("depthwise") else { panic!() };
        assert_eq!((&*conv.kernel.shape, conv.activation), (&[3, 3, 4, 2][..], Activation::Tanh));
        let Layer::SeparableConv2d(conv) = layer("separable") else { panic!() };
        assert_eq!(conv.pointwise.shape, [1, 1, 16, 6]);
        let slope = if dialect == 2 { 0.2 } else { 1.0 / 6.0 };
        for (name, expected) in [
            ("relu", Activation::Relu { max_value: Some(6.0), negative_slope: 0.1, threshold: 0.2 }),
            ("leaky", Activation::Relu { max_value: None, negative_slope: 0.25, threshold: 0.0 }),
            ("elu", Activation::Elu { alpha: 0.5 }),
            ("gate", Activation::HardSigmoid { slope }),
            ("softmax", Activation::Softmax { axis: -1 }),
        ] {
            assert!(matches!(layer(name), Layer::Activation(found) if *found == expected), "{name}");
        }
        assert!(matches!(layer("prelu"), Layer::Prelu { alpha } if alpha.shape == [1, 1, 6]));
        let edges = Edges { top: 1, bottom: 2, left: 3, right: 4 };
        assert!(matches!(layer("padding"), Layer::ZeroPadding2d(found) if *found == edges));
        let edges = Edges { top: 1, bottom: 0, left: 0, right: 2 };
        assert!(matches!(layer("cropping"), Layer::Cropping2d(found) if *found == edges));
        assert!(matches!(
            layer("up"),
            Layer::UpSampling2d { factors: [2, 3], interpolation: Interpolation::Bilinear }
        ));
        let Layer::Pool2d(pool) = layer("most") else { panic!() };
        assert_eq!((pool.kind, pool.size, pool.strides), (PoolKind::Max, [3, 2], [1, 1]));
        assert!(matches!(layer("right"), Layer::GlobalPool2d { kind: PoolKind::Average, keep_dims: true }));
        assert!(matches!(layer("rescaling"), Layer::Rescaling { scale, offset }
            if scale.len() == 1 && **offset == [-1.0, -0.9, -0.8]));
        assert!(matches!(layer("given"), Layer::Normalization { mean, variance }
            if *mean.values == [0.1, 0.2, 0.3] && variance.shape == [1, 1, 3]));
        for name in ["flip", "spatial", "noise", "dropout"] {
            assert!(matches!(layer(name), Layer::Identity), "{name}");
        }
    }
}

#[test]
fn each_call_of_a_shared_layer_is_a_node_and_shares_the_weights() {
    for dialect in [2, 3] {
        let model = read(&fixture(&format!("deep_keras{dialect}.hdf5")));
        let names: Vec<&str> = model.nodes.iter().map(|node| node.name.as_str()).collect();
        // A block calls it twice, the block around it calls that twice, and so on: 2 * 2 * 2 * 2 calls.
        let calls: Vec<&&str> =
            names.iter().filter(|name| name.starts_with("outer/middle/innermost/innermost_conv")).collect();
        assert_eq!(calls.len(), 16, "{names:#?}");
        assert!(calls.contains(&&"outer/middle/innermost/innermost_conv"));
        assert!(calls.contains(&&"outer/middle/innermost/innermost_conv:15"));
        let kernels = model.nodes.iter().filter(|node| node.name.contains("innermost_conv")).map(|node| {
            let Layer::Conv2d(conv) = &node.layer else { panic!() };
            conv.kernel.values.as_ptr()
        });
        assert!(kernels.collect::<Vec<_>>().windows(2).all(|pair| pair[0] == pair[1]));

        for (index, node) in model.nodes.iter().enumerate() {
            assert!(node.inputs.iter().all(|&input| input < index), "{} comes before its input", node.name);
        }
        let node = |name: &str| names.iter().position(|found| *found == name).unwrap();
        // frozen(image) -> outer -> outer again, added to frozen(...) of the first and the first itself.
        let sum = &model.nodes[node("sum")].inputs;
        assert_eq!(
            *sum,
            [node("outer/outer_last:1"), node("frozen/frozen_dense:1"), node("outer/outer_last")]
        );
        assert_eq!(model.nodes[node("frozen/frozen_conv:1")].inputs, [node("outer/outer_last")]);
        assert_eq!(model.nodes[node("frozen/frozen_conv")].inputs, [model.input]);
        assert_eq!(model.outputs, [node("scores")]);
    }
}

#[test]
fn what_is_not_a_whole_hdf5_file_is_told_in_one_sentence() {
    check_problems("text.hdf5", &["text.hdf5` is not a complete HDF5 file"]);
    check_problems("empty.hdf5", &["empty.hdf5` is empty, expected an HDF5 file saved by Keras"]);
    check_problems("truncated.hdf5", &["the HDF5 file is damaged or cut off"]);
    check_problems("weights_only.hdf5", &["has no attribute `model_config`"]);
    check_problems("only.weights.hdf5", &["holds a model's weights alone, as `save_weights` writes them"]);
}

#[test]
fn a_file_that_is_not_there_is_no_fault_of_the_file() {
    let error = open(&fixture("nowhere.hdf5"), ModelFormat::Hdf5).unwrap_err();
    assert!(matches!(error, ImportError::Unreadable(_)), "{error}");
    assert!(error.to_string().contains("nowhere.hdf5` cannot be read"), "{error}");
}

#[test]
fn weights_that_do_not_fit_are_named_with_what_was_expected() {
    check_problems(
        "weight_missing.hdf5",
        &["layer `head/dense` (`Dense`): the file has no weight `bias`, expected one of shape [3]"],
    );
    check_problems(
        "weight_not_held.hdf5",
        &[
            "layer `head/dense` (`Dense`): the file lists its weight `bias` but does not hold it, expected shape [3]",
        ],
    );
    check_problems(
        "weight_of_wrong_shape.hdf5",
        &["layer `features/conv` (`Conv2D`): `kernel` has shape [3, 3, 1, 2], expected [3, 3, 3, 2]"],
    );
    check_problems(
        "weight_too_many.hdf5",
        &["layer `softmax` (`Activation`): the file has a weight `softmax/kernel`"],
    );
}

#[test]
fn everything_that_is_not_supported_is_told_at_once() {
    check_problems(
        "many_faults.hdf5",
        &[
            "layer `conv` (`Conv3D`): layers of this class are not supported",
            "layer `flip` (`my_package.layers>MyLayer`): layers of this class are not supported",
            "layer `depthwise` (`DepthwiseConv2D`): `data_format` is \"channels_between\"",
            "layer `separable` (`SeparableConv2D`): activation \"wobble\" is not supported",
            "layer `relu` (`ReLU`): `dtype` is \"int32\"",
            "layer `elu` (`ELU`): its config has the key `sharpness`",
            "layer `up` (`UpSampling2D`): `interpolation` is \"quintic\"",
            "layer `dense` (`Dense`): `units` is -5, expected a positive whole number",
            "layer `noise` (`Lambda`): it holds Python code, which is never run here",
        ],
    );
}

#[test]
fn a_graph_that_cannot_be_computed_is_refused() {
    check_problems("unknown_call.hdf5", &["call 4 of `left` is used, but there is no such call"]);
    check_problems("loop.hdf5", &["wait for each other's output", "its output is never computed"]);
    check_problems(
        "called_in_training.hdf5",
        &["layer `dropout` (`Dropout`): it is called with `training` = true, which is not supported"],
    );
}

#[test]
fn other_formats_say_which_ones_are_supported() {
    let error = open(&fixture("sequential_keras3.hdf5"), ModelFormat::SavedModel).unwrap_err();
    let expected = "is a SavedModel folder, expected a model saved as .keras, .h5 or .hdf5";
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn no_change_of_a_file_makes_the_importer_panic_or_hang() {
    check_changes(&["sequential_keras3.hdf5", "half_keras2.hdf5", "deep_keras3.hdf5"], 500);
}

/// Opens files with random changes; a good part of them has to be refused, the others to be read.
pub(crate) fn check_changes(names: &[&str], rounds: usize) {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(0x5eed);
    let (mut refused, mut slowest) = (0, Duration::ZERO);
    for name in names {
        let path = folder.path().join(name);
        let sound = fs::read(fixture(name)).unwrap();
        for round in 0..rounds {
            let mut bytes = sound.clone();
            for _ in 0..=random.below(4) {
                let at = random.below(bytes.len());
                match round % 4 {
                    0 => bytes[at] ^= 1 << random.below(8),
                    1 => bytes[at] = [0, 0xff, 0x7f, 0x80][random.below(4)],
                    2 => bytes[at..].iter_mut().take(8).for_each(|byte| *byte = 0xff),
                    _ => bytes.truncate(at.max(1)),
                }
            }
            fs::write(&path, &bytes).unwrap();
            let begin = Instant::now();
            match open(&path, format_of(&path)) {
                Ok(model) => assert!(!model.outputs.is_empty()),
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    refused += 1;
                }
            }
            slowest = slowest.max(begin.elapsed());
        }
    }
    let all = names.len() * rounds;
    assert!((all / 6..all + 1).contains(&refused), "{refused} of {all} were refused");
    assert!(slowest < Duration::from_secs(20), "one file took {slowest:?}");
}

/// Marsaglia's xorshift64: the same changes at every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).expect("below a usize")
    }
}
