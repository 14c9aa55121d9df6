//! Adds the TensorFlow operations that compute a model's primitives. One file for each group of them.

mod axes;
mod convolution;
mod convolution_transpose;
mod elements;
mod images;
mod moving;
mod pooling;
mod precision;
mod products;
mod windows;

use tensorflow::Output;

use self::convolution::After;
use super::ops::{Fault, Ops};
use super::plan::{Fusion, Step, Work};
use model::{Graph, Op, Shape, Size, Value};

/// What a graph's values are in TensorFlow, in their order. `None` for what was not added.
pub(super) type Outputs = [Option<Output>];

/// A value that is read: in TensorFlow, and its shape.
#[derive(Clone)]
struct Operand<'a> {
    output: Output,
    shape: &'a Shape,
}

/// Adds what a step computes from the values before it. Returns `None` where one of these was not added.
pub(super) fn step(
    ops: &mut Ops,
    graph: &Graph,
    step: &Step,
    outputs: &Outputs,
) -> Result<Option<Output>, Fault> {
    let node = graph.node(step.gives);
    let values = match &step.work {
        Work::Convolution(fusion) => return fused(ops, graph, *fusion, outputs),
        Work::Primitive => node.inputs.clone(),
        Work::Bias { product, bias } => vec![*product, *bias],
    };
    let Some(operands) = operands(ops, graph, &node.op, &values, outputs)? else { return Ok(None) };
    let operands = precision::inputs(ops, &node.op, operands)?;
    match &step.work {
        Work::Bias { .. } => products::bias(ops, &operands).map(Some),
        Work::Primitive | Work::Convolution(_) => primitive(ops, &node.op, &operands, &node.shape).map(Some),
    }
}

/// What a node reads. A constant is added where it is read, as its reader wants it.
fn operands<'a>(
    ops: &mut Ops,
    graph: &'a Graph,
    reader: &Op,
    values: &[Value],
    outputs: &Outputs,
) -> Result<Option<Vec<Operand<'a>>>, Fault> {
    let mut operands = Vec::with_capacity(values.len());
    for value in values {
        let node = graph.node(*value);
        let output = match (&node.op, reader) {
            (Op::Constant(tensor), Op::MatrixProduct { .. } | Op::Einsum(_)) => Some(ops.matrix(tensor)?),
            (Op::Constant(tensor), _) => Some(ops.weights(tensor)?),
            _ => outputs.get(value.index()).cloned().flatten(),
        };
        let Some(output) = output else { return Ok(None) };
        operands.push(Operand { output, shape: &node.shape });
    }
    Ok(Some(operands))
}

/// A convolution and what follows it.
fn fused(ops: &mut Ops, graph: &Graph, fusion: Fusion, outputs: &Outputs) -> Result<Option<Output>, Fault> {
    let node = graph.node(fusion.convolution);
    let Op::Convolution(by) = &node.op else { return Err(Fault("it is no convolution".to_owned())) };
    let values: Vec<Value> = node.inputs.iter().copied().chain(fusion.addend).collect();
    let Some(read) = operands(ops, graph, &node.op, &values, outputs)? else { return Ok(None) };
    let mut read = precision::numbers(ops, read)?.into_iter();
    let (image, addend) = (read.next(), read.next().map(|addend| addend.output));
    let image = image.ok_or_else(|| Fault("it has no input".to_owned()))?;
    convolution::convolution(ops, by, &image, &After { addend, relu: fusion.relu }).map(Some)
}

/// Adds one primitive, whose output has this shape.
fn primitive(ops: &mut Ops, op: &Op, operands: &[Operand<'_>], shape: &Shape) -> Result<Output, Fault> {
    match op {
        Op::Input { shape } => ops.image(image(shape)?),
        Op::Constant(tensor) => ops.weights(tensor),
        Op::Convolution(by) => {
            convolution::convolution(ops, by, only(operands)?, &After { addend: None, relu: None })
        }
        Op::ConvolutionTranspose(by) => {
            convolution_transpose::convolution_transpose(ops, by, only(operands)?, shape)
        }
        Op::MatrixProduct { transposed } => products::matrix_product(ops, *transposed, operands),
        Op::Einsum(equation) => products::einsum(ops, equation, operands),
        Op::Pool { kind, windows } => pooling::pool(ops, *kind, *windows, only(operands)?),
        Op::Patches { windows } => pooling::patches(ops, *windows, only(operands)?),
        Op::Reduce(reduce) => axes::reduce(ops, reduce, only(operands)?),
        Op::Unary(function) => elements::unary(ops, *function, only(operands)?),
        Op::Binary(function) => elements::binary(ops, *function, operands),
        Op::Compare(comparison) => elements::compare(ops, *comparison, operands),
        Op::Select => elements::select(ops, operands),
        Op::FullLike { value } => elements::full_like(ops, *value, only(operands)?),
        Op::Softmax { axis } => axes::softmax(ops, *axis, only(operands)?),
        Op::LogSoftmax { axis } => axes::log_softmax(ops, *axis, only(operands)?),
        Op::BatchNorm(norm) => axes::batch_norm(ops, norm, only(operands)?),
        Op::Sort { axis } => axes::sort(ops, *axis, only(operands)?),
        Op::CumulativeSum { axis } => axes::cumulative_sum(ops, *axis, only(operands)?),
        Op::Reshape { .. } => moving::reshape(ops, only(operands)?, shape),
        Op::Transpose { order } => ops.transpose(&only(operands)?.output, order),
        Op::Concatenate { axis } => moving::concatenate(ops, *axis, operands),
        Op::Slice { ranges } => moving::slice(ops, ranges, only(operands)?),
        Op::Pad { edges, mode } => moving::pad(ops, edges, *mode, only(operands)?),
        Op::Gather { axis, indices } => moving::gather(ops, *axis, indices, only(operands)?),
        Op::Resize(by) => images::resize(ops, by, only(operands)?, shape),
        Op::SpaceToDepth { block } => images::space_to_depth(ops, *block, only(operands)?),
        Op::DepthToSpace { block } => images::depth_to_space(ops, *block, only(operands)?),
        Op::Unresolved { .. } => Err(open()),
    }
}

fn only<'a, 'b>(operands: &'a [Operand<'b>]) -> Result<&'a Operand<'b>, Fault> {
    match operands {
        [operand] => Ok(operand),
        _ => Err(wrong_count(operands, 1)),
    }
}

fn wrong_count(operands: &[Operand<'_>], expected: usize) -> Fault {
    Fault(format!("it has {} inputs, expected {expected}", operands.len()))
}

/// Height, width and channels of a batch of images.
fn image(shape: &Shape) -> Result<[usize; 3], Fault> {
    match shape[..] {
        [_, Size::Known(height), Size::Known(width), Size::Known(channels)] => Ok([height, width, channels]),
        [_, _, _, _] => Err(open()),
        _ => Err(Fault(format!("its input has {} axes, expected 4", shape.len()))),
    }
}

fn open() -> Fault {
    Fault("its input has no fixed height and width, which it needs".to_owned())
}
