//! Lowers activation functions.

use model::{Binary, Builder, Comparison, Fault, Range, Reduction, Tensor, Unary, Value};

use super::{Activation, piecewise};
use crate::layers::lowering::{axis_of, expect_fitting, with_batch};

impl Activation {
    pub(in crate::layers) fn lower(self, builder: &mut Builder, x: Value) -> Result<Value, Fault> {
        match self {
            Self::Linear => Ok(x),
            Self::Relu { max_value, negative_slope, threshold } => {
                piecewise::relu(builder, x, &piecewise::Relu { max_value, negative_slope, threshold })
            }
            Self::Softmax { axis } => {
                let axis = axis_of(axis, builder, x)?;
                builder.softmax(x, axis)
            }
            Self::LogSoftmax { axis } => {
                let axis = axis_of(axis, builder, x)?;
                builder.log_softmax(x, axis)
            }
            Self::Sparsemax { axis } => sparsemax(builder, x, axis),
            Self::Sigmoid => builder.unary(Unary::Sigmoid, x),
            Self::Tanh => builder.unary(Unary::Tanh, x),
            Self::Elu { alpha } => elu(builder, x, alpha),
            Self::Selu => builder.unary(Unary::Selu, x),
            Self::Softplus => builder.unary(Unary::Softplus, x),
            Self::Softsign => builder.unary(Unary::Softsign, x),
            Self::Swish => {
                let gate = builder.unary(Unary::Sigmoid, x)?;
                builder.binary(Binary::Multiply, x, gate)
            }
            Self::Gelu { approximate: true } => gelu_by_tanh(builder, x),
            Self::Gelu { approximate: false } => gelu(builder, x),
            Self::HardSigmoid { slope } => piecewise::hard_sigmoid(builder, x, slope),
            Self::HardSwish => {
                let gate = piecewise::hard_sigmoid(builder, x, 1.0 / 6.0)?;
                builder.binary(Binary::Multiply, x, gate)
            }
            Self::Exponential => builder.unary(Unary::Exp, x),
            Self::LogSigmoid => log_sigmoid(builder, x),
            Self::Mish => {
                let soft = builder.unary(Unary::Softplus, x)?;
                let gate = builder.unary(Unary::Tanh, soft)?;
                builder.binary(Binary::Multiply, x, gate)
            }
            Self::Celu { alpha } => celu(builder, x, alpha),
            Self::Glu { axis } => glu(builder, x, axis),
            Self::Squareplus { b } => squareplus(builder, x, b),
            Self::TanhShrink => {
                let bent = builder.unary(Unary::Tanh, x)?;
                builder.binary(Binary::Subtract, x, bent)
            }
            Self::HardTanh => builder.clip(x, -1.0, 1.0),
            Self::HardShrink { threshold } => piecewise::hard_shrink(builder, x, threshold),
            Self::SoftShrink { threshold } => piecewise::soft_shrink(builder, x, threshold),
            Self::Threshold { threshold, otherwise } => piecewise::above_or(builder, x, threshold, otherwise),
            Self::SparsePlus => piecewise::sparse_plus(builder, x),
            Self::SparseSigmoid => piecewise::sparse_sigmoid(builder, x),
        }
    }
}

/// `x` where positive, else `alpha * x`.
pub(in crate::layers) fn prelu_of(alpha: &Tensor, builder: &mut Builder, x: Value) -> Result<Value, Fault> {
    expect_fitting(&alpha.shape, builder, x)?;
    let alpha = builder.constant(alpha)?;
    let positive = builder.unary(Unary::Relu, x)?;
    let negative = builder.with_scalar(Binary::Minimum, x, 0.0)?;
    let slope = builder.binary(Binary::Multiply, alpha, negative)?;
    builder.binary(Binary::Add, positive, slope)
}

/// Subtracts the maximum, so that nothing overflows.
pub(in crate::layers) fn softmax_over(
    axes: &[usize],
    builder: &mut Builder,
    x: Value,
) -> Result<Value, Fault> {
    let axes = with_batch(axes);
    let most = builder.reduce_kept(Reduction::Max, x, &axes)?;
    let shifted = builder.binary(Binary::Subtract, x, most)?;
    let powers = builder.unary(Unary::Exp, shifted)?;
    let sum = builder.reduce_kept(Reduction::Sum, powers, &axes)?;
    builder.binary(Binary::Divide, powers, sum)
}

/// A value is in the support if it exceeds the threshold `(cumulative sum - 1) / rank` of the sorted values. Martins and
/// Astudillo 2016 compute the final threshold from the last cumulative sum in the support; Keras adds up all of them.
fn sparsemax(builder: &mut Builder, x: Value, axis: i64) -> Result<Value, Fault> {
    let index = axis_of(axis, builder, x)?;
    let shape = builder.shape(x);
    if shape[index].known().is_none() {
        let found = shape.described();
        return Err(Fault(format!("its input has shape {found}, expected a fixed size on axis {axis}")));
    }
    let sorted = builder.sort(x, index)?;
    let sums = builder.cumulative_sum(sorted, index)?;
    let ones = builder.full_like(sorted, 1.0)?;
    let ranks = builder.cumulative_sum(ones, index)?;
    let over_one = builder.with_scalar(Binary::Subtract, sums, 1.0)?;
    let mean = builder.binary(Binary::Divide, over_one, ranks)?;
    let supports = builder.compare(Comparison::Greater, sorted, mean)?;

    let count = builder.reduce_kept(Reduction::Sum, supports, &[index])?;
    let none = builder.scalar(0.0)?;
    let sums = builder.select(supports, sums, none)?;
    let sum = builder.reduce_kept(Reduction::Sum, sums, &[index])?;
    let over_one = builder.with_scalar(Binary::Subtract, sum, 1.0)?;
    let least = builder.binary(Binary::Divide, over_one, count)?;
    let rest = builder.binary(Binary::Subtract, x, least)?;
    builder.unary(Unary::Relu, rest)
}

/// `-log(1 + exp(-x))`
fn log_sigmoid(builder: &mut Builder, x: Value) -> Result<Value, Fault> {
    let negated = builder.unary(Unary::Negate, x)?;
    let soft = builder.unary(Unary::Softplus, negated)?;
    builder.unary(Unary::Negate, soft)
}

#[expect(clippy::float_cmp, reason = "a factor of exactly one needs no operation")]
fn elu(builder: &mut Builder, x: Value, alpha: f32) -> Result<Value, Fault> {
    let curve = builder.unary(Unary::Elu, x)?;
    if alpha == 1.0 {
        return Ok(curve);
    }
    let scaled = builder.with_scalar(Binary::Multiply, curve, alpha)?;
    let positive = builder.compare_scalar(Comparison::Greater, x, 0.0)?;
    builder.select(positive, x, scaled)
}

fn celu(builder: &mut Builder, x: Value, alpha: f32) -> Result<Value, Fault> {
    let positive = builder.unary(Unary::Relu, x)?;
    let negative = builder.with_scalar(Binary::Minimum, x, 0.0)?;
    let inner = builder.with_scalar(Binary::Divide, negative, alpha)?;
    let curve = builder.unary(Unary::Expm1, inner)?;
    let curve = builder.with_scalar(Binary::Multiply, curve, alpha)?;
    builder.binary(Binary::Add, positive, curve)
}

fn glu(builder: &mut Builder, x: Value, axis: i64) -> Result<Value, Fault> {
    let index = axis_of(axis, builder, x)?;
    let shape = builder.shape(x);
    let Some(half) = shape[index].known().filter(|size| size % 2 == 0).map(|size| size / 2) else {
        let found = shape.described();
        return Err(Fault(format!("its input has shape {found}, expected an even size on axis {axis}")));
    };
    let mut ranges = vec![Range::WHOLE; shape.len()];
    ranges[index] = Range::between(0, half);
    let first = builder.slice(x, &ranges)?;
    ranges[index] = Range::between(half, 2 * half);
    let second = builder.slice(x, &ranges)?;
    let gate = builder.unary(Unary::Sigmoid, second)?;
    builder.binary(Binary::Multiply, first, gate)
}

fn squareplus(builder: &mut Builder, x: Value, b: f32) -> Result<Value, Fault> {
    let square = builder.unary(Unary::Square, x)?;
    let lifted = builder.with_scalar(Binary::Add, square, b)?;
    let root = builder.unary(Unary::Sqrt, lifted)?;
    let sum = builder.binary(Binary::Add, x, root)?;
    builder.with_scalar(Binary::Multiply, sum, 0.5)
}

/// `x / 2 * (1 + erf(x / sqrt(2)))`
fn gelu(builder: &mut Builder, x: Value) -> Result<Value, Fault> {
    let inner = builder.with_scalar(Binary::Multiply, x, std::f32::consts::FRAC_1_SQRT_2)?;
    let bell = builder.unary(Unary::Erf, inner)?;
    halve_and_gate(builder, x, bell)
}

/// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))`, of Hendrycks and Gimpel 2016.
fn gelu_by_tanh(builder: &mut Builder, x: Value) -> Result<Value, Fault> {
    let square = builder.unary(Unary::Square, x)?;
    let cube = builder.binary(Binary::Multiply, square, x)?;
    let bent = builder.with_scalar(Binary::Multiply, cube, 0.044_715)?;
    let sum = builder.binary(Binary::Add, x, bent)?;
    let inner = builder.with_scalar(Binary::Multiply, sum, (2.0 / std::f32::consts::PI).sqrt())?;
    let bell = builder.unary(Unary::Tanh, inner)?;
    halve_and_gate(builder, x, bell)
}

fn halve_and_gate(builder: &mut Builder, x: Value, bell: Value) -> Result<Value, Fault> {
    let gate = builder.with_scalar(Binary::Add, bell, 1.0)?;
    let half = builder.with_scalar(Binary::Multiply, x, 0.5)?;
    builder.binary(Binary::Multiply, half, gate)
}
