//! Probes at the start what depends on the build of the library and on the machine.

use std::sync::Arc;

use tensorflow::{Graph, Status};

use super::graph::{self, Target};
use super::library::{Convolutions, Library};
use super::opening;
use super::session::{AllCoresSession, Spread, TensorflowEngine};
use engine::Device;
use engine::{Batch, EngineError};
use keras::layers::{Activation, Conv2d, DepthwiseConv2d, Edges, Layer, Padding};
use keras::{Model, Node, Tensor};

/// Returns the device that TensorFlow computes on.
///
/// # Errors
/// TensorFlow's message, where it does not start.
pub(super) fn device() -> Result<Device, String> {
    let failed = |status: Status| format!("it finds nothing to compute on: {status}");
    let session = opening::open(&Graph::new()).map_err(failed)?;
    let devices = session.device_list().map_err(failed)?;
    let gpu = devices.iter().find(|device| device.device_type == "GPU");
    Ok(gpu.map_or(Device::Cpu, |gpu| {
        let number = gpu.name.rsplit(':').next().unwrap_or("0");
        Device::Gpu(format!("gpu:{number}"))
    }))
}

/// Returns the convolutions that work here: fused ones where TensorFlow has them and computes on a CPU.
pub(super) fn convolutions(library: &Library) -> Convolutions {
    if library.device != Device::Cpu {
        return Convolutions::Plain;
    }
    match computes(library, Convolutions::Fused) {
        Ok(true) => Convolutions::Fused,
        Ok(false) => Convolutions::Plain,
        Err(error) => {
            tracing::debug!(%error, "this TensorFlow has no fused convolutions, plain ones are used");
            Convolutions::Plain
        }
    }
}

/// Returns the convolutions in bfloat16 that work here and are of use. A CPU needs instructions for bfloat16, which only the
/// fused convolutions use.
pub(super) fn bfloat16(library: &Library) -> Option<Convolutions> {
    let wanted = match (&library.device, library.convolutions) {
        (Device::Gpu(_), _) => Convolutions::PlainBfloat16,
        (Device::Cpu, Convolutions::Fused) => Convolutions::FusedBfloat16,
        (Device::Cpu, _) => return None,
    };
    match computes(library, wanted) {
        Ok(works) => works.then_some(wanted),
        Err(error) => {
            tracing::debug!(%error, "this machine has no convolutions in bfloat16");
            None
        }
    }
}

/// Returns whether the convolutions compute the right value. From a pixel of 2, at the left of the lower row, they give
/// 2 · 3 + 1 = 7, then 7 · 1 - 3 + 2 = 6, then 6 · 2 - 8 = 4.
fn computes(library: &Library, convolutions: Convolutions) -> Result<bool, EngineError> {
    let image = [1, 1, 1];
    let target = Target { convolutions, ..Target::of(library) };
    let built = graph::build(&three_convolutions(), Some(image), target)
        .map_err(|faults| EngineError(faults.join("; ")))?;
    let engine = TensorflowEngine::new(library, built, image, 1, AllCoresSession::IfQuicker)?;
    let scores = engine.run_bare(&Batch::new(1, image, vec![2.0]), Spread::OneCore)?;
    Ok(scores.values == [4.0])
}

/// One convolution of each kind: with zero padding, with a sum, depthwise.
fn three_convolutions() -> Model {
    let [strides, dilation] = [[1, 1]; 2];
    let values = |values: &[f32]| Arc::from(values);
    let bias = |value| Some(Tensor { shape: vec![1], values: values(&[value]) });
    let full = |kernel, offset| Conv2d {
        kernel,
        bias: bias(offset),
        strides,
        dilation,
        padding: Padding::Valid,
        groups: 1,
        activation: Activation::RELU,
    };
    let single = |value| Tensor { shape: vec![1; 4], values: values(&[value]) };
    let four = Tensor { shape: vec![2, 2, 1, 1], values: values(&[10.0, 20.0, 3.0, 40.0]) };
    let depthwise = DepthwiseConv2d {
        kernel: single(2.0),
        bias: bias(-8.0),
        strides,
        dilation,
        padding: Padding::Same,
        activation: Activation::Linear,
    };
    let layers = [
        (Layer::Input { shape: vec![Some(1); 3] }, vec![]),
        (Layer::ZeroPadding2d(Edges { top: 1, bottom: 0, left: 0, right: 1 }), vec![0]),
        (Layer::Conv2d(full(four, 1.0)), vec![1]),
        (Layer::Conv2dAdd(full(single(1.0), -3.0)), vec![2, 0]),
        (Layer::DepthwiseConv2d(depthwise), vec![3]),
        (Layer::Flatten, vec![4]),
    ];
    let node = |(index, (layer, inputs)): (usize, (Layer, Vec<usize>))| Node {
        name: format!("probe{index}"),
        class: "Probe".to_owned(),
        layer,
        inputs,
    };
    let nodes: Vec<Node> = layers.into_iter().enumerate().map(node).collect();
    let (outputs, output_names) = (vec![nodes.len() - 1], vec!["probe".to_owned()]);
    Model { name: "probe".to_owned(), nodes, input: 0, outputs, output_names, summary: Vec::new() }
}
