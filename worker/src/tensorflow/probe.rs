//! Tries at the start what depends on how the library was built and what it runs on.

use std::sync::Arc;

use super::graph;
use super::library::{Convolutions, Library};
use super::session::{Spread, TensorflowEngine};
use crate::engine::{Batch, Engine as _, EngineError};
use crate::keras::layers::{Activation, Conv2d, DepthwiseConv2d, Layer, Padding};
use crate::keras::{Model, Node, Tensor};

/// The convolutions that work here: fused ones where TensorFlow has them and computes on a CPU.
pub(super) fn convolutions(library: &Library) -> Convolutions {
    match computes(library) {
        Ok(true) => Convolutions::Fused,
        Ok(false) => Convolutions::Plain,
        Err(error) => {
            tracing::debug!(%error, "this TensorFlow has no fused convolutions, plain ones are used");
            Convolutions::Plain
        }
    }
}

/// Whether a CPU is computed on, and gives the right number: 2 · 3 + 1 = 7, and 7 · 2 - 10 = 4.
fn computes(library: &Library) -> Result<bool, EngineError> {
    let image = [1, 1, 1];
    let built = graph::build(&two_convolutions(), Some(image), Convolutions::Fused)
        .map_err(|faults| EngineError(faults.join("; ")))?;
    let engine = TensorflowEngine::new(library, built, image, 1)?;
    let scores = engine.run_bare(&Batch { images: 1, shape: image, pixels: vec![2.0] }, Spread::OneCore)?;
    Ok(engine.device() == "cpu" && scores.values == [4.0])
}

fn two_convolutions() -> Model {
    let kernel = |value| Tensor { shape: vec![1; 4], values: Arc::from([value]) };
    let bias = |value| Some(Tensor { shape: vec![1], values: Arc::from([value]) });
    let [strides, dilation] = [[1, 1]; 2];
    let full = Conv2d {
        kernel: kernel(3.0),
        bias: bias(1.0),
        strides,
        dilation,
        padding: Padding::Same,
        groups: 1,
        activation: Activation::RELU,
    };
    let depthwise = DepthwiseConv2d {
        kernel: kernel(2.0),
        bias: bias(-10.0),
        strides,
        dilation,
        padding: Padding::Valid,
        activation: Activation::Linear,
    };
    let flat = [
        Layer::Input { shape: vec![Some(1); 3] },
        Layer::Conv2d(full),
        Layer::DepthwiseConv2d(depthwise),
        Layer::Flatten,
    ];
    let node = |(index, layer): (usize, Layer)| Node {
        name: format!("probe{index}"),
        class: "Probe".to_owned(),
        layer,
        inputs: index.checked_sub(1).into_iter().collect(),
    };
    let nodes: Vec<Node> = flat.into_iter().enumerate().map(node).collect();
    let (outputs, output_names) = (vec![nodes.len() - 1], vec!["probe".to_owned()]);
    Model { name: "probe".to_owned(), nodes, input: 0, outputs, output_names, summary: Vec::new() }
}
