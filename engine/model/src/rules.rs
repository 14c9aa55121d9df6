//! The shape of each primitive's output, and what its inputs have to be.

use crate::fault::Fault;
use crate::op::Op;
use crate::shape::{Shape, Size};

mod elements;
mod moving;
mod products;
mod windows;

/// Returns the shape of the output.
///
/// # Errors
/// It cannot take these inputs; says why.
pub(crate) fn output(op: &Op, inputs: &[&Shape]) -> Result<Shape, Fault> {
    match op {
        Op::Input { shape } => none(inputs).map(|()| shape.clone()),
        Op::Unresolved { shape } => Ok(shape.clone()),
        Op::Constant(tensor) => {
            none(inputs)?;
            let elements = tensor.elements().ok_or("its output is too large to be computed")?;
            if elements == 0 {
                return Err(Fault(format!("a weight of shape {:?} is empty", tensor.shape)));
            }
            if tensor.is_read() && tensor.values.len() != elements {
                let values = tensor.values.len();
                return Err(Fault(format!("a weight of shape {:?} has {values} values", tensor.shape)));
            }
            Ok(Shape::known(&tensor.shape))
        }
        Op::Convolution(convolution) => windows::convolution(convolution, one(inputs)?),
        Op::ConvolutionTranspose(convolution) => windows::convolution_transpose(convolution, one(inputs)?),
        Op::Pool { windows, .. } => windows::pool(windows, one(inputs)?),
        Op::Patches { windows } => windows::patches(windows, one(inputs)?),
        Op::MatrixProduct { transposed } => products::of_matrices(*transposed, inputs),
        Op::Einsum(equation) => products::einsum(equation, inputs),
        Op::Reduce(reduce) => elements::reduced(reduce, one(inputs)?),
        Op::Unary(_) | Op::FullLike { .. } => Ok(one(inputs)?.clone()),
        Op::Binary(_) | Op::Compare(_) => elements::combined(inputs, 2),
        Op::Select => elements::combined(inputs, 3),
        Op::Softmax { axis } | Op::LogSoftmax { axis } | Op::CumulativeSum { axis } => {
            let input = one(inputs)?;
            own_axis(*axis, input)?;
            Ok(input.clone())
        }
        Op::Sort { axis } => elements::sorted(*axis, one(inputs)?),
        Op::BatchNorm(norm) => elements::batch_norm(norm, one(inputs)?),
        Op::Reshape { shape } => moving::reshaped(shape, one(inputs)?),
        Op::Transpose { order } => moving::transposed(order, one(inputs)?),
        Op::Concatenate { axis } => moving::concatenated(*axis, inputs),
        Op::Slice { ranges } => moving::sliced(ranges, one(inputs)?),
        Op::Pad { edges, mode } => moving::padded(edges, *mode, one(inputs)?),
        Op::Gather { axis, indices } => moving::gathered(*axis, indices, one(inputs)?),
        Op::Resize(resize) => windows::resized(resize.size, one(inputs)?),
        Op::SpaceToDepth { block } => windows::space_to_depth(*block, one(inputs)?),
        Op::DepthToSpace { block } => windows::depth_to_space(*block, one(inputs)?),
    }
}

fn none(inputs: &[&Shape]) -> Result<(), Fault> {
    if inputs.is_empty() { Ok(()) } else { Err(wrong_count(inputs, 0)) }
}

fn one<'a>(inputs: &[&'a Shape]) -> Result<&'a Shape, Fault> {
    match inputs {
        [input] => Ok(input),
        _ => Err(wrong_count(inputs, 1)),
    }
}

fn wrong_count(inputs: &[&Shape], expected: usize) -> Fault {
    Fault(format!("it is called on {} inputs, expected {expected}", inputs.len()))
}

/// The size of an axis that an operation works over. The batch is none: images do not mix.
fn own_axis(axis: usize, input: &Shape) -> Result<Size, Fault> {
    match input.get(axis) {
        Some(Size::Batch(_)) => Err("it works over the batch, expected an axis after it".into()),
        Some(size) => Ok(*size),
        None => Err(Fault(format!("its input has shape {}, expected more axes", input.described()))),
    }
}

fn wrong_channels(input: &Shape, expected: usize) -> Fault {
    Fault(format!("its input has shape {}, expected {expected} on the last axis", input.described()))
}

/// Why operands do not broadcast. There is a message of its own for values with different numbers of rows per image.
fn misfit(operands: &[&Shape]) -> Fault {
    let batched = || operands.iter().filter(|shape| shape.iter().any(|size| size.is_batch()));
    let mut rows = batched().map(|shape| shape.rows());
    let first = rows.next();
    if rows.any(|rows| Some(rows) != first) {
        return "it joins values of which a reshape folded some into the batch, expected all or none of them there".into();
    }
    let shapes: Vec<String> = operands.iter().map(ToString::to_string).collect();
    Fault(format!("its operands have shapes {}, which do not fit", shapes.join(" and ")))
}

/// Why inputs that have to be alike are not.
fn unlike(inputs: &[&Shape], expected: &str) -> Fault {
    Fault(format!(
        "its inputs have shapes {}, expected {expected}",
        Shape::described_all(inputs.iter().copied())
    ))
}

/// Two lists of sizes broadcast, aligned at their ends; `None` where they do not fit.
fn broadcast(one: &[Size], other: &[Size]) -> Option<Vec<Size>> {
    let axes = one.len().max(other.len());
    let at = |sizes: &[Size], axis: usize| match (axis + sizes.len()).checked_sub(axes) {
        Some(axis) => sizes[axis],
        None => Size::Known(1),
    };
    (0..axes).map(|axis| at(one, axis).broadcast(at(other, axis))).collect()
}

/// Returns whether the batch is on more than one axis, which would combine different images.
fn mixes_images(sizes: &[Size]) -> bool {
    sizes.iter().filter(|size| size.is_batch()).count() > 1
}
