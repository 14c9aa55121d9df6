//! What works along axes: reductions, normalizations, sorting.

use tensorflow::Output;

use super::Operand;
use crate::ops::{Attribute, Fault, Ops, to_i32};
use model::{BatchNorm, Reduce, Reduction, Shape, Size, Tensor};

pub(super) fn reduce(ops: &mut Ops, by: &Reduce, input: &Operand<'_>) -> Result<Output, Fault> {
    let kind = match by.kind {
        Reduction::Mean => "Mean",
        Reduction::Sum => "Sum",
        Reduction::Max => "Max",
        Reduction::Min => "Min",
        Reduction::Product => "Prod",
    };
    let axes = ops.axes(&by.axes)?;
    ops.op(kind, &[&input.output, &axes], &[("keep_dims", Attribute::Bool(by.keeps_axes))])
}

pub(super) fn softmax(ops: &mut Ops, axis: usize, input: &Operand<'_>) -> Result<Output, Fault> {
    along_last(ops, axis, input, |ops, x| ops.unary("Softmax", x))
}

pub(super) fn log_softmax(ops: &mut Ops, axis: usize, input: &Operand<'_>) -> Result<Output, Fault> {
    along_last(ops, axis, input, |ops, x| ops.unary("LogSoftmax", x))
}

pub(super) fn sort(ops: &mut Ops, axis: usize, input: &Operand<'_>) -> Result<Output, Fault> {
    let Some(Size::Known(size)) = input.shape.get(axis).copied() else {
        return Err(Fault("its input has an axis of no fixed size, which it sorts".to_owned()));
    };
    along_last(ops, axis, input, |ops, x| {
        let all = ops.integers(&[], &[to_i32(size)?])?;
        ops.binary("TopKV2", x, &all)
    })
}

/// Applies an operation over the last axis to another axis, which is swapped with the last before and after.
fn along_last(
    ops: &mut Ops,
    axis: usize,
    input: &Operand<'_>,
    compute: impl FnOnce(&mut Ops, &Output) -> Result<Output, Fault>,
) -> Result<Output, Fault> {
    let rank = input.shape.len();
    if axis + 1 == rank {
        return compute(ops, &input.output);
    }
    let mut order: Vec<usize> = (0..rank).collect();
    order.swap(axis, rank - 1);
    let last = ops.transpose(&input.output, &order)?;
    let output = compute(ops, &last)?;
    ops.transpose(&output, &order)
}

pub(super) fn cumulative_sum(ops: &mut Ops, axis: usize, input: &Operand<'_>) -> Result<Output, Fault> {
    let axis = ops.axis(axis)?;
    ops.binary("Cumsum", &input.output, &axis)
}

pub(super) fn batch_norm(ops: &mut Ops, norm: &BatchNorm, input: &Operand<'_>) -> Result<Output, Fault> {
    if input.shape.len() == 4 && norm.axis == 3 {
        fused_batch_norm(ops, norm, input)
    } else {
        batch_norm_by_element(ops, norm, &input.output, input.shape)
    }
}

/// Adds the operation that TensorFlow fuses with the convolution before it and the ReLU after it.
fn fused_batch_norm(ops: &mut Ops, norm: &BatchNorm, input: &Operand<'_>) -> Result<Output, Fault> {
    let features = norm.mean.values.len();
    let gamma = weights_or(ops, norm.gamma.as_ref(), 1.0, features)?;
    let beta = weights_or(ops, norm.beta.as_ref(), 0.0, features)?;
    let mean = ops.weights(&norm.mean)?;
    let variance = ops.weights(&norm.variance)?;
    ops.op(
        "FusedBatchNormV3",
        &[&input.output, &gamma, &beta, &mean, &variance],
        &[("epsilon", Attribute::Float(norm.epsilon)), ("is_training", Attribute::Bool(false))],
    )
}

fn weights_or(
    ops: &mut Ops,
    tensor: Option<&Tensor>,
    default: f32,
    features: usize,
) -> Result<Output, Fault> {
    match tensor {
        Some(tensor) => ops.weights(tensor),
        None => ops.constant(&[features], &vec![default; features]),
    }
}

fn batch_norm_by_element(
    ops: &mut Ops,
    norm: &BatchNorm,
    input: &Output,
    shape: &Shape,
) -> Result<Output, Fault> {
    let sizes: Vec<usize> =
        (0..shape.len()).map(|axis| if axis == norm.axis { norm.mean.values.len() } else { 1 }).collect();
    #[expect(clippy::cast_possible_truncation, reason = "the graph computes in float32")]
    let (scale, offset): (Vec<f32>, Vec<f32>) =
        norm.affine().into_iter().map(|(scale, offset)| (scale as f32, offset as f32)).unzip();
    let scale = ops.constant(&sizes, &scale)?;
    let offset = ops.constant(&sizes, &offset)?;
    let scaled = ops.binary("Mul", input, &scale)?;
    ops.binary("AddV2", &scaled, &offset)
}
