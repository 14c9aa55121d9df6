//! Computes a graph in double precision, with plain loops, as the docs of each [`Op`] say it.
//!
//! It is what engines and passes are compared with, and it folds constants. It is made to be read, not to be fast: a
//! [`Budget`] keeps a graph that would take minutes from being computed.
//!
//! Weights are float32 and exact in double precision. Nothing is rounded to float32 on the way, so an engine differs by its
//! rounding. Which pixels a resize reads is computed exactly, too: a library that computes it in float32 may take the one
//! beside a nearest neighbour, or one more or less at the edge of a Gaussian kernel.

use crate::fault::Fault;
use crate::graph::{Graph, Node};
use crate::op::{Op, Reduce};
use crate::shape::{Shape, Size};
use crate::tensor::Tensor;

mod array;
mod budget;
mod elements;
mod functions;
mod moving;
mod products;
mod resizing;
mod windows;

pub use self::array::Array;
pub use self::budget::Budget;

/// The outputs of a model for a batch of images, in the model's order.
///
/// # Errors
/// The images are not what the input takes, a size is open, or the budget is not enough.
pub fn evaluate(graph: &Graph, images: &Array, budget: Budget) -> Result<Vec<Array>, Fault> {
    let values = evaluate_all(graph, images, budget)?;
    Ok(graph.outputs.iter().map(|output| values[output.index()].clone()).collect())
}

/// The value of every node, so that it can be found where an engine begins to differ.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_all(graph: &Graph, images: &Array, budget: Budget) -> Result<Vec<Array>, Fault> {
    if let Some(node) = graph.first_open() {
        return Err(Fault(format!("`{node}` has an open size, expected all to be known")));
    }
    let expected = &graph.node(graph.input).shape;
    let images_in = images.shape.first().copied().unwrap_or(0);
    if images.shape != sizes(expected, images_in) {
        return Err(Fault(format!("the images have shape {:?}, expected {expected}", images.shape)));
    }
    let shapes: Vec<Vec<usize>> = graph.nodes.iter().map(|node| sizes(&node.shape, images_in)).collect();
    let mut left = budget;
    for (node, shape) in graph.nodes.iter().zip(&shapes) {
        let inputs: Vec<&[usize]> = node.inputs.iter().map(|input| &shapes[input.index()][..]).collect();
        left = left.after(&node.op, &inputs, shape)?;
    }
    let mut values: Vec<Array> = Vec::with_capacity(graph.nodes.len());
    for (node, shape) in graph.nodes.iter().zip(&shapes) {
        let value = if matches!(node.op, Op::Input { .. }) {
            images.clone()
        } else {
            let inputs: Vec<&Array> = node.inputs.iter().map(|input| &values[input.index()]).collect();
            compute(&node.op, &inputs, shape)?
        };
        values.push(value);
    }
    Ok(values)
}

/// What a node computes of constants alone, and what is left of the budget.
///
/// # Errors
/// It is the input, its weights were not read, or the budget is not enough.
pub(crate) fn evaluate_node(
    node: &Node,
    inputs: &[&Tensor],
    budget: Budget,
) -> Result<(Array, Budget), Fault> {
    let shape = sizes(&node.shape, 1);
    let shapes: Vec<&[usize]> = inputs.iter().map(|input| &input.shape[..]).collect();
    let left = budget.after(&node.op, &shapes, &shape)?;
    let inputs = inputs.iter().map(|input| constant(input)).collect::<Result<Vec<_>, _>>()?;
    Ok((compute(&node.op, &inputs.iter().collect::<Vec<_>>(), &shape)?, left))
}

/// The sizes of a value for so many images.
fn sizes(shape: &Shape, images: usize) -> Vec<usize> {
    let size = |size: &Size| match size {
        Size::Known(size) => *size,
        Size::Batch(rows) => rows.saturating_mul(images),
        Size::Open => 0,
    };
    shape.iter().map(size).collect()
}

fn constant(tensor: &Tensor) -> Result<Array, Fault> {
    if !tensor.is_read() {
        return Err("its weights were not read".into());
    }
    Ok(Array { shape: tensor.shape.clone(), values: tensor.values.iter().copied().map(f64::from).collect() })
}

/// An operation on inputs that fit it. The shape is that of its output.
fn compute(op: &Op, inputs: &[&Array], shape: &[usize]) -> Result<Array, Fault> {
    if op.weights().iter().any(|weight| !weight.is_read()) {
        return Err("its weights were not read".into());
    }
    match (op, inputs) {
        (Op::Constant(tensor), []) => constant(tensor),
        (Op::Convolution(by), [x]) => Ok(products::convolution(by, x, shape)),
        (Op::ConvolutionTranspose(by), [x]) => Ok(products::convolution_transpose(by, x, shape)),
        (Op::MatrixProduct { transposed }, [left, right]) => {
            Ok(products::of_matrices(*transposed, left, right, shape))
        }
        (Op::Einsum(equation), inputs) => Ok(products::einsum(equation, inputs, shape)),
        (Op::Pool { kind, windows }, [x]) => Ok(windows::pool(*kind, windows, x, shape)),
        (Op::Patches { windows }, [x]) => Ok(windows::patches(windows, x, shape)),
        (Op::Reduce(Reduce { kind, axes, .. }), [x]) => Ok(elements::reduce(*kind, axes, x, shape)),
        (Op::Unary(function), [x]) => Ok(x.map(|value| functions::unary(*function, value))),
        (Op::Binary(function), [left, right]) => Ok(Array::from_fn(shape, |index| {
            functions::binary(*function, left.broadcast_at(index), right.broadcast_at(index))
        })),
        (Op::Compare(by), [left, right]) => Ok(Array::from_fn(shape, |index| {
            f64::from(u8::from(functions::compare(*by, left.broadcast_at(index), right.broadcast_at(index))))
        })),
        (Op::Select, [condition, x, otherwise]) => Ok(Array::from_fn(shape, |index| {
            let holds = condition.broadcast_at(index) != 0.0;
            if holds { x.broadcast_at(index) } else { otherwise.broadcast_at(index) }
        })),
        (Op::FullLike { value }, [x]) => Ok(x.map(|_| f64::from(*value))),
        (Op::Softmax { axis }, [x]) => Ok(elements::along(x, *axis, elements::softmax)),
        (Op::LogSoftmax { axis }, [x]) => Ok(elements::along(x, *axis, elements::log_softmax)),
        (Op::Sort { axis }, [x]) => Ok(elements::along(x, *axis, elements::sort)),
        (Op::CumulativeSum { axis }, [x]) => Ok(elements::along(x, *axis, elements::cumulative_sum)),
        (Op::BatchNorm(norm), [x]) => Ok(elements::batch_norm(norm, x)),
        (Op::Reshape { .. }, [x]) => Ok(Array { shape: shape.to_vec(), values: x.values.clone() }),
        (Op::Transpose { order }, [x]) => Ok(moving::transpose(order, x, shape)),
        (Op::Concatenate { axis }, inputs) => Ok(moving::concatenate(*axis, inputs, shape)),
        (Op::Slice { ranges }, [x]) => Ok(moving::slice(ranges, x, shape)),
        (Op::Pad { edges, mode }, [x]) => Ok(moving::pad(edges, *mode, x, shape)),
        (Op::Gather { axis, indices }, [x]) => Ok(moving::gather(*axis, indices, x, shape)),
        (Op::Resize(by), [x]) => Ok(resizing::resize(by, x, shape)),
        (Op::SpaceToDepth { block }, [x]) => Ok(moving::space_to_depth(*block, x, shape)),
        (Op::DepthToSpace { block }, [x]) => Ok(moving::depth_to_space(*block, x, shape)),
        (op, inputs) => Err(Fault(format!("{} cannot be computed of {} values", op.name(), inputs.len()))),
    }
}
