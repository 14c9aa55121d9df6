//! Activation functions.

use tensorflow::Output;

use crate::keras::Tensor;
use crate::keras::layers::Activation;
use crate::tensorflow::ops::{Attribute, Fault, Ops, to_i32};

pub(super) fn activation(ops: &mut Ops, function: Activation, x: &Output) -> Result<Output, Fault> {
    match function {
        Activation::Linear => Ok(x.clone()),
        Activation::Relu { max_value, negative_slope, threshold } => {
            relu(ops, x, Rectifier { max_value, negative_slope, threshold })
        }
        Activation::Softmax { axis } => softmax(ops, x, axis),
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
    }
}

pub(super) fn prelu(ops: &mut Ops, alpha: &Tensor, x: &Output) -> Result<Output, Fault> {
    let alpha = ops.weights(alpha)?;
    let positive = ops.unary("Relu", x)?;
    let negative = ops.with_scalar("Minimum", x, 0.0)?;
    let slope = ops.binary("Mul", &alpha, &negative)?;
    ops.binary("AddV2", &positive, &slope)
}

struct Rectifier {
    max_value: Option<f32>,
    negative_slope: f32,
    threshold: f32,
}

fn relu(ops: &mut Ops, x: &Output, by: Rectifier) -> Result<Output, Fault> {
    match by {
        Rectifier { max_value: None, negative_slope: 0.0, threshold: 0.0 } => ops.unary("Relu", x),
        Rectifier { max_value: None, negative_slope, threshold: 0.0 } => {
            ops.op("LeakyRelu", &[x], &[("alpha", Attribute::Float(negative_slope))])
        }
        Rectifier { max_value: Some(6.0), negative_slope: 0.0, threshold: 0.0 } => ops.unary("Relu6", x),
        Rectifier { max_value, negative_slope, threshold } => {
            let shifted = ops.with_scalar("Sub", x, threshold)?;
            let low = ops.with_scalar("Mul", &shifted, negative_slope)?;
            let over = ops.with_scalar("GreaterEqual", x, threshold)?;
            let rectified = ops.op("SelectV2", &[&over, x, &low], &[])?;
            match max_value {
                Some(max) => {
                    let top = ops.constant(&[], &[max])?;
                    let over = ops.binary("GreaterEqual", x, &top)?;
                    ops.op("SelectV2", &[&over, &top, &rectified], &[])
                }
                None => Ok(rectified),
            }
        }
    }
}

/// The operation works over the last axis: another one changes places with it, before and after.
fn softmax(ops: &mut Ops, x: &Output, axis: i64) -> Result<Output, Fault> {
    let axis = ops.axis(x, axis)?;
    let rank = ops.sizes(x)?.len();
    if axis + 1 == rank {
        return ops.unary("Softmax", x);
    }
    let mut order = (0..rank).map(to_i32).collect::<Result<Vec<i32>, _>>()?;
    order.swap(axis, rank - 1);
    let order = ops.integers(&[rank], &order)?;
    let last = ops.binary("Transpose", x, &order)?;
    let scores = ops.unary("Softmax", &last)?;
    ops.binary("Transpose", &scores, &order)
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
    let low = ops.with_scalar("Maximum", &line, 0.0)?;
    ops.with_scalar("Minimum", &low, 1.0)
}
