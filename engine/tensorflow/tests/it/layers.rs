//! Every layer's graph computes what Keras computes. The cases and their numbers are in
//! `tests/fixtures/layers`, with the script that made them.

use std::sync::Arc;

use engine::{Batch, Device, Engine};
use keras::layers::{
    Activation, BatchNorm, Conv2d, Dense, DepthwiseConv2d, Edges, Interpolation, Layer, MergeKind, Padding,
    Pool2d, PoolKind, SeparableConv2d,
};
use keras::{Model, Node, Tensor};
use serde_json::Value;
use tensorflow_engine::{Convolutions, Library, Spread, Tile, Winograd};

use crate::support::library;
use testing::numbers::{largest, largest_difference};
use testing::repository;

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
            check_on(&library, &case, model(&case));
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

#[test]
fn shapes_of_a_model_that_takes_any_image_size_stay_open() {
    for family in ["conv", "shape", "upsampling", "pool", "merge"] {
        for case in cases(family) {
            let name = case["name"].as_str().unwrap();
            let fixed = tensorflow_engine::shapes(library(), &model(&case)).unwrap();
            let mut open = model(&case);
            let Layer::Input { shape } = &mut open.nodes[0].layer else { panic!("no input") };
            (shape[0], shape[1]) = (None, None);
            let open = tensorflow_engine::shapes(library(), &open).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(open[0][..3], [None; 3], "{name}");
            for (open, fixed) in open.iter().zip(&fixed) {
                assert_eq!(open.len(), fixed.len(), "{name}");
                assert!(open.iter().zip(fixed).all(|(o, f)| o.is_none() || o == f), "{name}: {open:?}");
            }
            let output = fixed.last().unwrap();
            assert_eq!(
                output[1..],
                list(&case["output"]["shape"]).into_iter().map(Some).collect::<Vec<_>>()[1..]
            );
        }
    }
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
    let cases = cases(family);
    assert!(!cases.is_empty());
    for case in cases {
        let model = model(&case);
        check_case(&case, model);
    }
}

fn cases(family: &str) -> Vec<Value> {
    let path = repository().join(format!("engine/tensorflow/tests/fixtures/layers/{family}/cases.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn check_case(case: &Value, model: Model) {
    for convolutions in [library().convolutions, Convolutions::Plain] {
        check_on(&Library { convolutions, ..library().clone() }, case, model.clone());
    }
}

fn check_on(library: &Library, case: &Value, model: Model) {
    let name = format!("{}, {:?}, {:?}", case["name"], library.convolutions, library.winograd);
    let input = tensor(&case["input"]).unwrap();
    let expected = tensor(&case["output"]).unwrap();
    let image = [input.shape[1], input.shape[2], input.shape[3]];
    let batch = Batch::new(input.shape[0], image, input.values.to_vec());
    let engine = tensorflow_engine::engine(library, model, image).unwrap_or_else(|e| panic!("{name}: {e}"));
    for scores in [engine.predict(&batch), engine.run_bare(&batch, Spread::AllCores)] {
        let scores = scores.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(scores.classes, expected.shape[1..].iter().product::<usize>(), "{name}");
        let difference = largest_difference(&scores.values, &expected.values);
        let bound = TOLERANCE * largest(&expected.values).max(1.0);
        assert!(difference <= bound, "{name}: differs by {difference}, expected at most {bound}");
    }
}

fn model(case: &Value) -> Model {
    let nodes: Vec<Node> = case["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
        .map(|(index, node)| Node {
            name: format!("{}_{index}", case["name"].as_str().unwrap()),
            class: node["layer"]["class"].as_str().unwrap().to_owned(),
            layer: layer(&node["layer"]),
            inputs: list(&node["inputs"]),
        })
        .collect();
    let (outputs, output_names) = (vec![nodes.len() - 1], vec!["case".to_owned()]);
    Model { name: "case".to_owned(), input: 0, outputs, output_names, nodes, summary: Vec::new() }
}

fn layer(v: &Value) -> Layer {
    match v["class"].as_str().unwrap() {
        "InputLayer" => Layer::Input { shape: list(&v["shape"]).into_iter().map(Some).collect() },
        "Conv2D" => Layer::Conv2d(Conv2d {
            kernel: tensor(&v["kernel"]).unwrap(),
            bias: tensor(&v["bias"]),
            strides: pair(&v["strides"]),
            dilation: pair(&v["dilation"]),
            padding: padding(v),
            groups: v["groups"].as_u64().unwrap() as usize,
            activation: activation(&v["activation"]),
        }),
        "DepthwiseConv2D" => Layer::DepthwiseConv2d(DepthwiseConv2d {
            kernel: tensor(&v["kernel"]).unwrap(),
            bias: tensor(&v["bias"]),
            strides: pair(&v["strides"]),
            dilation: pair(&v["dilation"]),
            padding: padding(v),
            activation: activation(&v["activation"]),
        }),
        "SeparableConv2D" => Layer::SeparableConv2d(SeparableConv2d {
            depthwise: tensor(&v["depthwise"]).unwrap(),
            pointwise: tensor(&v["pointwise"]).unwrap(),
            bias: tensor(&v["bias"]),
            strides: pair(&v["strides"]),
            dilation: pair(&v["dilation"]),
            padding: padding(v),
            activation: activation(&v["activation"]),
        }),
        "Dense" => Layer::Dense(Dense {
            kernel: tensor(&v["kernel"]).unwrap(),
            bias: tensor(&v["bias"]),
            activation: activation(&v["activation"]),
        }),
        "BatchNormalization" => Layer::BatchNorm(BatchNorm {
            axis: v["axis"].as_i64().unwrap(),
            gamma: tensor(&v["gamma"]),
            beta: tensor(&v["beta"]),
            mean: tensor(&v["mean"]).unwrap(),
            variance: tensor(&v["variance"]).unwrap(),
            epsilon: float(&v["epsilon"]),
        }),
        "Activation" | "ReLU" | "LeakyReLU" | "ELU" | "Softmax" | "ApproximateGelu" => {
            Layer::Activation(activation(&v["activation"]))
        }
        "PReLU" => Layer::Prelu { alpha: tensor(&v["alpha"]).unwrap() },
        "MaxPooling2D" => Layer::Pool2d(pooling(v, PoolKind::Max)),
        "AveragePooling2D" => Layer::Pool2d(pooling(v, PoolKind::Average)),
        "GlobalMaxPooling2D" => global(v, PoolKind::Max),
        "GlobalAveragePooling2D" => global(v, PoolKind::Average),
        "ZeroPadding2D" => Layer::ZeroPadding2d(edges(v)),
        "Cropping2D" => Layer::Cropping2d(edges(v)),
        "UpSampling2D" => Layer::UpSampling2d {
            factors: pair(&v["factors"]),
            interpolation: match v["interpolation"].as_str().unwrap() {
                "nearest" => Interpolation::Nearest,
                "bilinear" => Interpolation::Bilinear,
                other => panic!("{other}"),
            },
        },
        "Flatten" => Layer::Flatten,
        "Reshape" => Layer::Reshape {
            target: v["target"].as_array().unwrap().iter().map(|n| n.as_i64().unwrap()).collect(),
        },
        "Permute" => Layer::Permute { axes: list(&v["axes"]) },
        "Dropout" => Layer::Identity,
        "Add" => Layer::Merge(MergeKind::Add),
        "Subtract" => Layer::Merge(MergeKind::Subtract),
        "Multiply" => Layer::Merge(MergeKind::Multiply),
        "Average" => Layer::Merge(MergeKind::Average),
        "Maximum" => Layer::Merge(MergeKind::Maximum),
        "Minimum" => Layer::Merge(MergeKind::Minimum),
        "Concatenate" => Layer::Concatenate { axis: v["axis"].as_i64().unwrap() },
        "Rescaling" => Layer::Rescaling { scale: floats(&v["scale"]), offset: floats(&v["offset"]) },
        "Normalization" => Layer::Normalization {
            mean: tensor(&v["mean"]).unwrap(),
            variance: tensor(&v["variance"]).unwrap(),
        },
        other => panic!("no layer for {other}"),
    }
}

fn activation(v: &Value) -> Activation {
    match v["kind"].as_str().unwrap() {
        "linear" => Activation::Linear,
        "relu" => Activation::Relu {
            max_value: v["max_value"].as_f64().map(|max| max as f32),
            negative_slope: float(&v["negative_slope"]),
            threshold: float(&v["threshold"]),
        },
        "softmax" => Activation::Softmax { axis: v["axis"].as_i64().unwrap() },
        "sigmoid" => Activation::Sigmoid,
        "tanh" => Activation::Tanh,
        "elu" => Activation::Elu { alpha: float(&v["alpha"]) },
        "selu" => Activation::Selu,
        "softplus" => Activation::Softplus,
        "softsign" => Activation::Softsign,
        "swish" => Activation::Swish,
        "gelu" => Activation::Gelu { approximate: v["approximate"].as_bool().unwrap() },
        "hard_sigmoid" => Activation::HardSigmoid { slope: float(&v["slope"]) },
        "hard_swish" => Activation::HardSwish,
        "exponential" => Activation::Exponential,
        other => panic!("no activation for {other}"),
    }
}

fn pooling(v: &Value, kind: PoolKind) -> Pool2d {
    Pool2d { kind, size: pair(&v["size"]), strides: pair(&v["strides"]), padding: padding(v) }
}

fn global(v: &Value, kind: PoolKind) -> Layer {
    Layer::GlobalPool2d { kind, keep_dims: v["keep_dims"].as_bool().unwrap() }
}

fn edges(v: &Value) -> Edges {
    let [top, bottom, left, right] = list(&v["edges"])[..] else { panic!("four edges") };
    Edges { top, bottom, left, right }
}

fn padding(v: &Value) -> Padding {
    match v["padding"].as_str().unwrap() {
        "valid" => Padding::Valid,
        "same" => Padding::Same,
        other => panic!("{other}"),
    }
}

fn tensor(v: &Value) -> Option<Tensor> {
    (!v.is_null()).then(|| Tensor { shape: list(&v["shape"]), values: Arc::from(floats(&v["values"])) })
}

fn list(v: &Value) -> Vec<usize> {
    v.as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect()
}

fn pair(v: &Value) -> [usize; 2] {
    list(v).try_into().unwrap()
}

fn floats(v: &Value) -> Vec<f32> {
    v.as_array().unwrap().iter().map(float).collect()
}

fn float(v: &Value) -> f32 {
    v.as_f64().unwrap() as f32
}
