//! A method for each primitive. Each fails as [`Builder::add`] does. What would change nothing adds no node.

use std::sync::Arc;

use super::Builder;
use crate::fault::Fault;
use crate::graph::Value;
use crate::op::{
    BatchNorm, Binary, Comparison, Convolution, ConvolutionTranspose, Equation, Op, PadMode, PoolKind, Range,
    Reduce, Resize, Unary,
};
use crate::shape::Shape;
use crate::window::Window;

impl Builder {
    /// Adds the input: a batch of images, `[batch, …]`.
    pub fn input(&mut self, shape: Shape) -> Result<Value, Fault> {
        self.add(Op::Input { shape }, &[])
    }

    /// Adds an [`Op::Convolution`] of `[batch, height, width, channels]`.
    pub fn convolution(&mut self, x: Value, by: Convolution) -> Result<Value, Fault> {
        self.add(Op::Convolution(by), &[x])
    }

    /// Adds an [`Op::ConvolutionTranspose`] of `[batch, height, width, channels]`.
    pub fn convolution_transpose(&mut self, x: Value, by: ConvolutionTranspose) -> Result<Value, Fault> {
        self.add(Op::ConvolutionTranspose(by), &[x])
    }

    /// Adds an [`Op::MatrixProduct`], `[…, rows, inner]` times `[…, inner, columns]`.
    pub fn matrix_product(&mut self, left: Value, right: Value) -> Result<Value, Fault> {
        self.add(Op::MatrixProduct { transposed: [false, false] }, &[left, right])
    }

    /// Adds an [`Op::Einsum`].
    pub fn einsum(&mut self, equation: &Equation, operands: &[Value]) -> Result<Value, Fault> {
        self.add(Op::Einsum(equation.clone()), operands)
    }

    /// Adds an [`Op::Pool`] of `[batch, height, width, channels]`.
    pub fn pool(&mut self, x: Value, kind: PoolKind, windows: [Window; 2]) -> Result<Value, Fault> {
        self.add(Op::Pool { kind, windows }, &[x])
    }

    /// Adds [`Op::Patches`] of `[batch, height, width, channels]`.
    pub fn patches(&mut self, x: Value, windows: [Window; 2]) -> Result<Value, Fault> {
        self.add(Op::Patches { windows }, &[x])
    }

    /// Adds an [`Op::Reduce`]. Over no axes it changes nothing.
    pub fn reduce(&mut self, x: Value, by: Reduce) -> Result<Value, Fault> {
        if by.axes.is_empty() { Ok(x) } else { self.add(Op::Reduce(by), &[x]) }
    }

    /// Adds an [`Op::Unary`].
    pub fn unary(&mut self, function: Unary, x: Value) -> Result<Value, Fault> {
        self.add(Op::Unary(function), &[x])
    }

    /// Adds an [`Op::Binary`].
    pub fn binary(&mut self, function: Binary, left: Value, right: Value) -> Result<Value, Fault> {
        self.add(Op::Binary(function), &[left, right])
    }

    /// Adds an [`Op::Compare`].
    pub fn compare(&mut self, by: Comparison, left: Value, right: Value) -> Result<Value, Fault> {
        self.add(Op::Compare(by), &[left, right])
    }

    /// Adds an [`Op::Select`].
    pub fn select(&mut self, condition: Value, x: Value, otherwise: Value) -> Result<Value, Fault> {
        self.add(Op::Select, &[condition, x, otherwise])
    }

    /// Adds an [`Op::FullLike`].
    pub fn full_like(&mut self, x: Value, value: f32) -> Result<Value, Fault> {
        self.add(Op::FullLike { value }, &[x])
    }

    /// Adds an [`Op::Softmax`].
    pub fn softmax(&mut self, x: Value, axis: usize) -> Result<Value, Fault> {
        self.add(Op::Softmax { axis }, &[x])
    }

    /// Adds an [`Op::LogSoftmax`].
    pub fn log_softmax(&mut self, x: Value, axis: usize) -> Result<Value, Fault> {
        self.add(Op::LogSoftmax { axis }, &[x])
    }

    /// Adds an [`Op::BatchNorm`].
    pub fn batch_norm(&mut self, x: Value, norm: BatchNorm) -> Result<Value, Fault> {
        self.add(Op::BatchNorm(norm), &[x])
    }

    /// Adds an [`Op::Sort`].
    pub fn sort(&mut self, x: Value, axis: usize) -> Result<Value, Fault> {
        self.add(Op::Sort { axis }, &[x])
    }

    /// Adds an [`Op::CumulativeSum`].
    pub fn cumulative_sum(&mut self, x: Value, axis: usize) -> Result<Value, Fault> {
        self.add(Op::CumulativeSum { axis }, &[x])
    }

    /// Adds an [`Op::Reshape`] to another shape, the batch counted.
    pub fn reshape(&mut self, x: Value, shape: Shape) -> Result<Value, Fault> {
        if *self.shape(x) == shape && !shape.is_open() {
            return Ok(x);
        }
        self.add(Op::Reshape { shape }, &[x])
    }

    /// Adds an [`Op::Transpose`]: the axes of `x` in the order of the output, the batch counted.
    pub fn transpose(&mut self, x: Value, order: &[usize]) -> Result<Value, Fault> {
        if order.iter().copied().eq(0..self.shape(x).len()) {
            return Ok(x);
        }
        self.add(Op::Transpose { order: order.to_vec() }, &[x])
    }

    /// Adds an [`Op::Concatenate`].
    pub fn concatenate(&mut self, inputs: &[Value], axis: usize) -> Result<Value, Fault> {
        match inputs {
            [only] => Ok(*only),
            _ => self.add(Op::Concatenate { axis }, inputs),
        }
    }

    /// Adds an [`Op::Slice`], one range for each axis, the batch counted. Where a size is known, the numbers of its range
    /// become positive.
    pub fn slice(&mut self, x: Value, ranges: &[Range]) -> Result<Value, Fault> {
        if ranges.len() != self.shape(x).len() {
            return self.add(Op::Slice { ranges: ranges.to_vec() }, &[x]);
        }
        let axes = ranges.iter().zip(self.shape(x).iter());
        let ranges: Vec<Range> =
            axes.map(|(range, size)| size.known().map_or(*range, |size| range.resolved(size))).collect();
        if ranges.iter().all(|range| *range == Range::WHOLE) {
            return Ok(x);
        }
        self.add(Op::Slice { ranges }, &[x])
    }

    /// Adds an [`Op::Pad`]: elements before and after each axis, the batch counted.
    pub fn pad(&mut self, x: Value, edges: &[[usize; 2]], mode: PadMode) -> Result<Value, Fault> {
        if edges.len() == self.shape(x).len() && edges.iter().all(|edges| *edges == [0, 0]) {
            return Ok(x);
        }
        self.add(Op::Pad { edges: edges.to_vec(), mode }, &[x])
    }

    /// Adds an [`Op::Gather`].
    pub fn gather(
        &mut self,
        x: Value,
        axis: usize,
        indices: impl Into<Arc<[usize]>>,
    ) -> Result<Value, Fault> {
        self.add(Op::Gather { axis, indices: indices.into() }, &[x])
    }

    /// Adds an [`Op::Resize`] of `[batch, height, width, channels]`.
    pub fn resize(&mut self, x: Value, by: Resize) -> Result<Value, Fault> {
        self.add(Op::Resize(by), &[x])
    }

    /// Adds an [`Op::SpaceToDepth`] of `[batch, height, width, channels]`.
    pub fn space_to_depth(&mut self, x: Value, block: usize) -> Result<Value, Fault> {
        self.add(Op::SpaceToDepth { block }, &[x])
    }

    /// Adds an [`Op::DepthToSpace`] of `[batch, height, width, channels]`.
    pub fn depth_to_space(&mut self, x: Value, block: usize) -> Result<Value, Fault> {
        self.add(Op::DepthToSpace { block }, &[x])
    }

    /// Adds an [`Op::Unresolved`]: what cannot be said before the size of the images is known, except its shape.
    pub fn unresolved(&mut self, inputs: &[Value], shape: Shape) -> Result<Value, Fault> {
        self.add(Op::Unresolved { shape }, inputs)
    }
}
