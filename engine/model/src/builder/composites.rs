//! What many layers are made of. Each method fails as [`Builder::add`] does.

use super::Builder;
use crate::fault::Fault;
use crate::graph::Value;
use crate::op::{Binary, Comparison, Op, Reduce, Reduction, Unary};
use crate::shape::{Shape, Size};
use crate::tensor::Tensor;

/// A value minus its mean over some axes, and its variance over them.
#[derive(Debug, Clone, Copy)]
pub struct Centred {
    /// Of the shape of the value.
    pub values: Value,
    /// The axes stay, with size 1.
    pub variance: Value,
}

impl Builder {
    /// A function of a value and a number.
    pub fn with_scalar(&mut self, function: Binary, x: Value, number: f32) -> Result<Value, Fault> {
        let number = self.scalar(number)?;
        self.binary(function, x, number)
    }

    /// A function of a value and a constant.
    pub fn with_constant(&mut self, function: Binary, x: Value, constant: &Tensor) -> Result<Value, Fault> {
        let constant = self.constant(constant)?;
        self.binary(function, x, constant)
    }

    /// Compares a value with a number.
    pub fn compare_scalar(&mut self, by: Comparison, x: Value, number: f32) -> Result<Value, Fault> {
        let number = self.scalar(number)?;
        self.compare(by, x, number)
    }

    /// `min(max(x, min), max)`.
    pub fn clip(&mut self, x: Value, min: f32, max: f32) -> Result<Value, Fault> {
        let low = self.with_scalar(Binary::Maximum, x, min)?;
        self.with_scalar(Binary::Minimum, low, max)
    }

    /// A bias over the last axis, if there is one.
    pub fn biased(&mut self, x: Value, bias: Option<&Tensor>) -> Result<Value, Fault> {
        match bias {
            Some(bias) => self.with_constant(Binary::Add, x, bias),
            None => Ok(x),
        }
    }

    /// `x` times the transpose of `other`: both `[…, rows, inner]`.
    pub fn times_transpose(&mut self, x: Value, other: Value) -> Result<Value, Fault> {
        self.add(Op::MatrixProduct { transposed: [false, true] }, &[x, other])
    }

    /// A reduction whose axes stay, with size 1.
    pub fn reduce_kept(&mut self, kind: Reduction, x: Value, axes: &[usize]) -> Result<Value, Fault> {
        self.reduce(x, Reduce { kind, axes: axes.to_vec(), keeps_axes: true })
    }

    /// A reduction whose axes are dropped.
    pub fn reduce_dropped(&mut self, kind: Reduction, x: Value, axes: &[usize]) -> Result<Value, Fault> {
        self.reduce(x, Reduce { kind, axes: axes.to_vec(), keeps_axes: false })
    }

    /// The mean of the squares over some axes, which stay with size 1.
    pub fn mean_square(&mut self, x: Value, axes: &[usize]) -> Result<Value, Fault> {
        let squares = self.unary(Unary::Square, x)?;
        self.reduce_kept(Reduction::Mean, squares, axes)
    }

    /// A value minus its mean over some axes, and its variance: the mean of the squares of these differences.
    pub fn centred(&mut self, x: Value, axes: &[usize]) -> Result<Centred, Fault> {
        let mean = self.reduce_kept(Reduction::Mean, x, axes)?;
        let values = self.binary(Binary::Subtract, x, mean)?;
        let variance = self.mean_square(values, axes)?;
        Ok(Centred { values, variance })
    }

    /// `x / sqrt(max(sum of squares, least))` over some axes.
    pub fn of_length_one(&mut self, x: Value, axes: &[usize], least: f32) -> Result<Value, Fault> {
        let squares = self.unary(Unary::Square, x)?;
        let sum = self.reduce_kept(Reduction::Sum, squares, axes)?;
        let sum = self.with_scalar(Binary::Maximum, sum, least)?;
        let scale = self.unary(Unary::Rsqrt, sum)?;
        self.binary(Binary::Multiply, x, scale)
    }

    /// A new axis of size 1 at this place.
    pub fn expand(&mut self, x: Value, axis: usize) -> Result<Value, Fault> {
        let mut shape = self.shape(x).clone();
        if axis > shape.len() {
            return Err(Fault(format!("its input has shape {}, expected more axes", shape.described())));
        }
        shape.0.insert(axis, Size::Known(1));
        self.reshape(x, shape)
    }

    /// Drops an axis of size 1.
    pub fn squeeze(&mut self, x: Value, axis: usize) -> Result<Value, Fault> {
        let mut shape = self.shape(x).clone();
        match shape.get(axis) {
            Some(Size::Known(1)) => {}
            _ => {
                let shape = shape.described();
                return Err(Fault(format!("its input has shape {shape}, expected size 1 on axis {axis}")));
            }
        }
        shape.0.remove(axis);
        self.reshape(x, shape)
    }

    /// All axes after the batch become one.
    pub fn flatten(&mut self, x: Value) -> Result<Value, Fault> {
        let shape = self.shape(x);
        let Some((first, rest)) = shape.split_first() else {
            return Err("its input has no axes, expected a batch".into());
        };
        let elements = Shape(rest.to_vec());
        let size = match elements.elements() {
            Some(elements) => Size::Known(elements),
            None if elements.is_open() => Size::Open,
            None => return Err("its output is too large to be computed".into()),
        };
        let flat = Shape(vec![*first, size]);
        self.reshape(x, flat)
    }
}
