//! Reads the cases of `engine/tensorflow/tests/fixtures/layers/*/cases.json`: small models, an input, and the output that
//! Keras computes. The script that made them is beside them.

use std::sync::Arc;

use keras::layers::{
    Activation, BatchNorm, Conv2d, Dense, DepthwiseConv2d, Edges, Interpolation, Layer, MergeKind, Padding,
    Pool2d, PoolKind, SeparableConv2d,
};
use keras::{Model, Node, Tensor};
use serde_json::Value;
use testing::repository;

/// The cases of a family of layers.
pub(crate) fn cases(family: &str) -> Vec<Value> {
    let path = repository().join(format!("engine/tensorflow/tests/fixtures/layers/{family}/cases.json"));
    let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(!cases.is_empty(), "{family}");
    cases
}

/// The model of a case. Its nodes are one after the other, the input first and the output last.
pub(crate) fn model(case: &Value) -> Model {
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
        "Normalization" => {
            Layer::Normalization { mean: without_batch(&v["mean"]), variance: without_batch(&v["variance"]) }
        }
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

/// An array whose first size, 1, is that of the batch.
fn without_batch(v: &Value) -> Tensor {
    let tensor = tensor(v).unwrap();
    assert_eq!(tensor.shape[0], 1);
    tensor.reshaped(&tensor.shape[1..])
}

/// An array, unless it is null.
pub(crate) fn tensor(v: &Value) -> Option<Tensor> {
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
