//! Probes at the start what depends on the build of the library and on the machine.

use tensorflow::Status;

use super::graph;
use super::library::{Convolutions, Library};
use super::opening;
use super::session::{AllCoresSession, TensorflowEngine};
use super::spread::Spread;
use super::target::Target;
use engine::Device;
use engine::{Batch, EngineError};
use model::{Binary, Builder, Convolution, Fault, Graph, Padding, Shape, Tensor, Unary, Value, Window};

/// Returns the device that TensorFlow computes on.
///
/// # Errors
/// TensorFlow's message, where it does not start.
pub(super) fn device() -> Result<Device, String> {
    let failed = |status: Status| format!("it finds nothing to compute on: {status}");
    let session = opening::open(&tensorflow::Graph::new()).map_err(failed)?;
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
    let target = Target { convolutions, ..Target::of(library) };
    let model = convolutions_of_each_kind().map_err(|Fault(fault)| EngineError(fault))?;
    let built = graph::build(&model, IMAGE, target).map_err(|faults| EngineError(faults.join("; ")))?;
    let engine = TensorflowEngine::new(library, built, IMAGE, 1, AllCoresSession::IfQuicker)?;
    let scores = engine.run_bare(&Batch::new(1, IMAGE, vec![2.0]), Spread::OneCore)?;
    Ok(scores.values == [4.0])
}

/// One pixel.
const IMAGE: [usize; 3] = [1, 1, 1];

/// A convolution with zeros around the image, one with a sum, and a depthwise one.
fn convolutions_of_each_kind() -> Result<Graph, Fault> {
    let inside = [Window::of(1); 2];
    let around = [(1, 0), (0, 1)]
        .map(|(before, after)| Window { padding: Padding::Explicit { before, after }, ..Window::of(2) });
    let mut builder = Builder::for_images(IMAGE);
    builder.begin("probe");
    let image = builder.input(Shape::batched(IMAGE))?;
    let first = convolved(&mut builder, image, (&[10.0, 20.0, 3.0, 40.0], around), 1.0)?;
    let first = builder.unary(Unary::Relu, first)?;
    let second = convolved(&mut builder, first, (&[1.0], inside), -3.0)?;
    let second = builder.binary(Binary::Add, second, image)?;
    let second = builder.unary(Unary::Relu, second)?;
    // Two channels, since a convolution of a single one is full. The second is dropped.
    let both = builder.concatenate(&[second, second], 3)?;
    let depthwise = Convolution {
        kernel: Tensor::new(&[1, 1, 1, 2], [2.0, 0.0]),
        bias: Some(Tensor::vector([-8.0, 0.0])),
        windows: inside,
        groups: 2,
    };
    let third = builder.convolution(both, depthwise)?;
    let third = builder.gather(third, 3, [0])?;
    let scores = builder.flatten(third)?;
    builder.finish(vec![scores])
}

/// A convolution of one channel.
fn convolved(
    builder: &mut Builder,
    input: Value,
    (kernel, windows): (&[f32], [Window; 2]),
    bias: f32,
) -> Result<Value, Fault> {
    let [height, width] = windows.map(|window| window.size);
    let kernel = Tensor::new(&[height, width, 1, 1], kernel);
    builder.convolution(input, Convolution { kernel, bias: Some(Tensor::vector([bias])), windows, groups: 1 })
}
