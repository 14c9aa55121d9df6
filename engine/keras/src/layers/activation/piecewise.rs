//! Piecewise activation functions.

use model::{Binary, Builder, Comparison, Fault, Unary, Value};

/// The parameters of [`Activation::Relu`](super::Activation::Relu).
pub(super) struct Relu {
    pub(super) max_value: Option<f32>,
    pub(super) negative_slope: f32,
    pub(super) threshold: f32,
}

/// The usual forms are primitives.
pub(super) fn relu(builder: &mut Builder, x: Value, by: &Relu) -> Result<Value, Fault> {
    match *by {
        Relu { max_value: None, negative_slope: 0.0, threshold: 0.0 } => builder.unary(Unary::Relu, x),
        Relu { max_value: None, negative_slope: slope, threshold: 0.0 } => {
            builder.unary(Unary::LeakyRelu { slope }, x)
        }
        Relu { max_value: Some(6.0), negative_slope: 0.0, threshold: 0.0 } => builder.unary(Unary::Relu6, x),
        Relu { max_value, negative_slope, threshold } => {
            let above = above_or(builder, x, threshold, 0.0)?;
            let kept = match max_value {
                Some(most) => builder.clip(above, 0.0, most)?,
                None => above,
            };
            if negative_slope == 0.0 {
                return Ok(kept);
            }
            let beyond = builder.with_scalar(Binary::Subtract, x, threshold)?;
            let below = builder.with_scalar(Binary::Minimum, beyond, 0.0)?;
            let leak = builder.with_scalar(Binary::Multiply, below, negative_slope)?;
            builder.binary(Binary::Add, kept, leak)
        }
    }
}

/// `x` where `x > threshold`, else `otherwise`.
pub(super) fn above_or(
    builder: &mut Builder,
    x: Value,
    threshold: f32,
    otherwise: f32,
) -> Result<Value, Fault> {
    let above = builder.compare_scalar(Comparison::Greater, x, threshold)?;
    let otherwise = builder.scalar(otherwise)?;
    builder.select(above, x, otherwise)
}

/// `clip(x * slope + 0.5, 0, 1)`
pub(super) fn hard_sigmoid(builder: &mut Builder, x: Value, slope: f32) -> Result<Value, Fault> {
    let line = builder.with_scalar(Binary::Multiply, x, slope)?;
    let line = builder.with_scalar(Binary::Add, line, 0.5)?;
    builder.clip(line, 0.0, 1.0)
}

pub(super) fn hard_shrink(builder: &mut Builder, x: Value, threshold: f32) -> Result<Value, Fault> {
    let size = builder.unary(Unary::Abs, x)?;
    let large = builder.compare_scalar(Comparison::Greater, size, threshold)?;
    let none = builder.scalar(0.0)?;
    builder.select(large, x, none)
}

pub(super) fn soft_shrink(builder: &mut Builder, x: Value, threshold: f32) -> Result<Value, Fault> {
    let down = builder.with_scalar(Binary::Subtract, x, threshold)?;
    let up = builder.with_scalar(Binary::Add, x, threshold)?;
    let above = builder.compare_scalar(Comparison::Greater, x, threshold)?;
    let below = builder.compare_scalar(Comparison::Less, x, -threshold)?;
    let none = builder.scalar(0.0)?;
    let rest = builder.select(below, up, none)?;
    builder.select(above, down, rest)
}

pub(super) fn sparse_plus(builder: &mut Builder, x: Value) -> Result<Value, Fault> {
    let moved = builder.with_scalar(Binary::Add, x, 1.0)?;
    let square = builder.unary(Unary::Square, moved)?;
    let curve = builder.with_scalar(Binary::Multiply, square, 0.25)?;
    let low = builder.compare_scalar(Comparison::LessEqual, x, -1.0)?;
    let middle = builder.compare_scalar(Comparison::Less, x, 1.0)?;
    let none = builder.scalar(0.0)?;
    let rest = builder.select(middle, curve, x)?;
    builder.select(low, none, rest)
}

pub(super) fn sparse_sigmoid(builder: &mut Builder, x: Value) -> Result<Value, Fault> {
    let moved = builder.with_scalar(Binary::Add, x, 1.0)?;
    let line = builder.with_scalar(Binary::Multiply, moved, 0.5)?;
    builder.clip(line, 0.0, 1.0)
}
