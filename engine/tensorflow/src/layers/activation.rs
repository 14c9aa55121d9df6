//! Activation functions.

use tensorflow::Output;

use super::axes_with_batch;
use crate::ops::{Attribute, Fault, Ops, to_i32};
use keras::Tensor;
use keras::layers::Activation;

mod piecewise;

pub(super) fn activation(ops: &mut Ops, function: Activation, x: &Output) -> Result<Output, Fault> {
    match function {
        Activation::Linear => Ok(x.clone()),
        Activation::Relu { max_value, negative_slope, threshold } => {
            relu(ops, x, Relu { max_value, negative_slope, threshold })
        }
        Activation::Softmax { axis } => along_last(ops, x, axis, |ops, x| ops.unary("Softmax", x)),
        Activation::LogSoftmax { axis } => along_last(ops, x, axis, |ops, x| ops.unary("LogSoftmax", x)),
        Activation::Sparsemax { axis } => along_last(ops, x, axis, sparsemax),
        Activation::Sigmoid => ops.unary("Sigmoid", x),
        Activation::Tanh => ops.unary("Tanh", x),
        Activation::Elu { alpha } => elu(ops, x, alpha),
        Activation::Selu => ops.unary("Selu", x),
        Activation::Softplus => ops.unary("Softplus", x),
        Activation::Softsign => ops.unary("Softsign", x),
        Activation::Swish => {
            let gate = ops.unary("Sigmoid", x)?;
            ops.binary("Mul", x, &gate)
        }
        Activation::Gelu { approximate } => {
            if approximate {
                gelu_by_tanh(ops, x)
            } else {
                gelu(ops, x)
            }
        }
        Activation::HardSigmoid { slope } => hard_sigmoid(ops, x, slope),
        Activation::HardSwish => {
            let gate = hard_sigmoid(ops, x, 1.0 / 6.0)?;
            ops.binary("Mul", x, &gate)
        }
        Activation::Exponential => ops.unary("Exp", x),
        Activation::LogSigmoid => log_sigmoid(ops, x),
        Activation::Mish => {
            let soft = ops.unary("Softplus", x)?;
            let gate = ops.unary("Tanh", &soft)?;
            ops.binary("Mul", x, &gate)
        }
        Activation::Celu { alpha } => celu(ops, x, alpha),
        Activation::Glu { axis } => glu(ops, x, axis),
        Activation::Squareplus { b } => squareplus(ops, x, b),
        Activation::TanhShrink => {
            let bent = ops.unary("Tanh", x)?;
            ops.binary("Sub", x, &bent)
        }
        Activation::HardTanh => piecewise::clip(ops, x, -1.0, 1.0),
        Activation::HardShrink { threshold } => piecewise::hard_shrink(ops, x, threshold),
        Activation::SoftShrink { threshold } => piecewise::soft_shrink(ops, x, threshold),
        Activation::Threshold { threshold, otherwise } => piecewise::threshold(ops, x, threshold, otherwise),
        Activation::SparsePlus => piecewise::sparse_plus(ops, x),
        Activation::SparseSigmoid => piecewise::sparse_sigmoid(ops, x),
    }
}

pub(super) fn prelu(ops: &mut Ops, alpha: &Tensor, x: &Output) -> Result<Output, Fault> {
    let alpha = ops.weights(alpha)?;
    let positive = ops.unary("Relu", x)?;
    let negative = ops.with_scalar("Minimum", x, 0.0)?;
    let slope = ops.binary("Mul", &alpha, &negative)?;
    ops.binary("AddV2", &positive, &slope)
}

struct Relu {
    max_value: Option<f32>,
    negative_slope: f32,
    threshold: f32,
}

fn relu(ops: &mut Ops, x: &Output, by: Relu) -> Result<Output, Fault> {
    match by {
        Relu { max_value: None, negative_slope: 0.0, threshold: 0.0 } => ops.unary("Relu", x),
        Relu { max_value: None, negative_slope, threshold: 0.0 } => {
            ops.op("LeakyRelu", &[x], &[("alpha", Attribute::Float(negative_slope))])
        }
        Relu { max_value: Some(6.0), negative_slope: 0.0, threshold: 0.0 } => ops.unary("Relu6", x),
        Relu { max_value, negative_slope, threshold } => {
            let above = piecewise::threshold(ops, x, threshold, 0.0)?;
            let kept = match max_value {
                Some(most) => piecewise::clip(ops, &above, 0.0, most)?,
                None => above,
            };
            if negative_slope == 0.0 {
                return Ok(kept);
            }
            let beyond = ops.with_scalar("Sub", x, threshold)?;
            let below = ops.with_scalar("Minimum", &beyond, 0.0)?;
            let leak = ops.with_scalar("Mul", &below, negative_slope)?;
            ops.binary("AddV2", &kept, &leak)
        }
    }
}

/// Applies an operation over the last axis to another axis, which is swapped with the last before and after.
fn along_last(
    ops: &mut Ops,
    x: &Output,
    axis: i64,
    compute: impl FnOnce(&mut Ops, &Output) -> Result<Output, Fault>,
) -> Result<Output, Fault> {
    let axis = ops.axis(x, axis)?;
    let rank = ops.sizes(x)?.len();
    if axis + 1 == rank {
        return compute(ops, x);
    }
    let mut order = (0..rank).map(to_i32).collect::<Result<Vec<i32>, _>>()?;
    order.swap(axis, rank - 1);
    let order = ops.integers(&[rank], &order)?;
    let last = ops.binary("Transpose", x, &order)?;
    let output = compute(ops, &last)?;
    ops.binary("Transpose", &output, &order)
}

/// Subtracts the maximum, so that nothing overflows.
pub(super) fn softmax_over(ops: &mut Ops, axes: &[usize], x: &Output) -> Result<Output, Fault> {
    let axes = axes_with_batch(ops, axes)?;
    let keep = [("keep_dims", Attribute::Bool(true))];
    let most = ops.op("Max", &[x, &axes], &keep)?;
    let shifted = ops.binary("Sub", x, &most)?;
    let powers = ops.unary("Exp", &shifted)?;
    let sum = ops.op("Sum", &[&powers, &axes], &keep)?;
    ops.binary("RealDiv", &powers, &sum)
}

/// A value is in the support if it exceeds the threshold `(cumulative sum - 1) / rank` of the sorted values. Martins and
/// Astudillo 2016 compute the final threshold from the last cumulative sum in the support; Keras adds up all of them.
fn sparsemax(ops: &mut Ops, x: &Output) -> Result<Output, Fault> {
    let size = ops.sizes(x)?.last().copied().flatten();
    let size =
        size.ok_or_else(|| Fault("its input has an axis of no fixed size, which it sorts".to_owned()))?;
    let size = ops.integers(&[], &[to_i32(size)?])?;
    let last = ops.integers(&[], &[-1])?;
    let keep = [("keep_dims", Attribute::Bool(true))];

    let sorted = ops.binary("TopKV2", x, &size)?;
    let sums = ops.binary("Cumsum", &sorted, &last)?;
    let ones = ops.unary("OnesLike", &sorted)?;
    let zeros = ops.unary("ZerosLike", &sorted)?;
    let counts = ops.binary("Cumsum", &ones, &last)?;
    let over_one = ops.with_scalar("Sub", &sums, 1.0)?;
    let mean = ops.binary("RealDiv", &over_one, &counts)?;
    let supports = ops.binary("Greater", &sorted, &mean)?;

    let supporting = ops.op("SelectV2", &[&supports, &ones, &zeros], &[])?;
    let count = ops.op("Sum", &[&supporting, &last], &keep)?;
    let sums = ops.op("SelectV2", &[&supports, &sums, &zeros], &[])?;
    let sum = ops.op("Sum", &[&sums, &last], &keep)?;
    let over_one = ops.with_scalar("Sub", &sum, 1.0)?;
    let least = ops.binary("RealDiv", &over_one, &count)?;
    let rest = ops.binary("Sub", x, &least)?;
    ops.unary("Relu", &rest)
}

/// `-log(1 + exp(-x))`
fn log_sigmoid(ops: &mut Ops, x: &Output) -> Result<Output, Fault> {
    let negated = ops.unary("Neg", x)?;
    let soft = ops.unary("Softplus", &negated)?;
    ops.unary("Neg", &soft)
}

fn celu(ops: &mut Ops, x: &Output, alpha: f32) -> Result<Output, Fault> {
    let positive = ops.unary("Relu", x)?;
    let negative = ops.with_scalar("Minimum", x, 0.0)?;
    let inner = ops.with_scalar("RealDiv", &negative, alpha)?;
    let curve = ops.unary("Expm1", &inner)?;
    let curve = ops.with_scalar("Mul", &curve, alpha)?;
    ops.binary("AddV2", &positive, &curve)
}

fn glu(ops: &mut Ops, x: &Output, axis: i64) -> Result<Output, Fault> {
    let axis = ops.axis(x, axis)?;
    let halves = ops.split(x, axis, 2)?;
    let [first, second] = &halves[..] else {
        return Err(Fault(format!("it has {} halves, expected 2", halves.len())));
    };
    let gate = ops.unary("Sigmoid", second)?;
    ops.binary("Mul", first, &gate)
}

fn squareplus(ops: &mut Ops, x: &Output, b: f32) -> Result<Output, Fault> {
    let square = ops.unary("Square", x)?;
    let lifted = ops.with_scalar("AddV2", &square, b)?;
    let root = ops.unary("Sqrt", &lifted)?;
    let sum = ops.binary("AddV2", x, &root)?;
    ops.with_scalar("Mul", &sum, 0.5)
}

#[expect(clippy::float_cmp, reason = "a factor of exactly one needs no operation")]
fn elu(ops: &mut Ops, x: &Output, alpha: f32) -> Result<Output, Fault> {
    let curve = ops.unary("Elu", x)?;
    if alpha == 1.0 {
        return Ok(curve);
    }
    let scaled = ops.with_scalar("Mul", &curve, alpha)?;
    let positive = ops.with_scalar("Greater", x, 0.0)?;
    ops.op("SelectV2", &[&positive, x, &scaled], &[])
}

/// `x / 2 * (1 + erf(x / sqrt(2)))`
fn gelu(ops: &mut Ops, x: &Output) -> Result<Output, Fault> {
    let inner = ops.with_scalar("Mul", x, std::f32::consts::FRAC_1_SQRT_2)?;
    let bell = ops.unary("Erf", &inner)?;
    halve_and_gate(ops, x, &bell)
}

/// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))`, of Hendrycks and Gimpel 2016.
fn gelu_by_tanh(ops: &mut Ops, x: &Output) -> Result<Output, Fault> {
    let square = ops.unary("Square", x)?;
    let cube = ops.binary("Mul", &square, x)?;
    let bent = ops.with_scalar("Mul", &cube, 0.044_715)?;
    let sum = ops.binary("AddV2", x, &bent)?;
    let inner = ops.with_scalar("Mul", &sum, (2.0 / std::f32::consts::PI).sqrt())?;
    let bell = ops.unary("Tanh", &inner)?;
    halve_and_gate(ops, x, &bell)
}

fn halve_and_gate(ops: &mut Ops, x: &Output, bell: &Output) -> Result<Output, Fault> {
    let gate = ops.with_scalar("AddV2", bell, 1.0)?;
    let half = ops.with_scalar("Mul", x, 0.5)?;
    ops.binary("Mul", &half, &gate)
}

/// `clip(x * slope + 0.5, 0, 1)`
fn hard_sigmoid(ops: &mut Ops, x: &Output, slope: f32) -> Result<Output, Fault> {
    let line = ops.with_scalar("Mul", x, slope)?;
    let line = ops.with_scalar("AddV2", &line, 0.5)?;
    piecewise::clip(ops, &line, 0.0, 1.0)
}
