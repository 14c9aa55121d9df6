//! How much a graph may cost.

use crate::fault::Fault;
use crate::op::{Convolution, ConvolutionTranspose, Op};

/// Bounds on what is computed, checked before anything is. A file of some kilobytes can name products of any size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Elements of all values together, of 8 bytes each.
    pub elements: usize,
    /// Numbers that are read from inputs or weights: for a product of matrices, two for each multiplication.
    pub steps: usize,
}

impl Default for Budget {
    /// 512 MB and some seconds.
    fn default() -> Self {
        Self { elements: 1 << 26, steps: 1 << 28 }
    }
}

impl Budget {
    /// What is left after an operation.
    ///
    /// # Errors
    /// It is not enough.
    pub(super) fn after(self, op: &Op, inputs: &[&[usize]], output: &[usize]) -> Result<Self, Fault> {
        let mut elements = count(output);
        if matches!(op, Op::Resize(_)) {
            elements = elements.saturating_add(count(&columns_resized(inputs, output)));
        }
        let steps = steps(op, inputs, output);
        match (self.elements.checked_sub(elements), self.steps.checked_sub(steps)) {
            (Some(elements), Some(steps)) => Ok(Self { elements, steps }),
            _ => Err(Fault(format!(
                "its {} gives {elements} values in {steps} steps, expected at most {} in {}",
                op.name(),
                self.elements,
                self.steps
            ))),
        }
    }
}

fn count(shape: &[usize]) -> usize {
    shape.iter().copied().fold(1, usize::saturating_mul)
}

fn product(factors: &[usize]) -> usize {
    count(factors)
}

/// The shape of images of which only the columns have been resized.
fn columns_resized(inputs: &[&[usize]], output: &[usize]) -> Vec<usize> {
    let height = inputs.first().and_then(|shape| shape.get(1)).copied();
    let sizes = output.iter().copied().enumerate();
    sizes.map(|(axis, size)| if axis == 1 { height.unwrap_or(size) } else { size }).collect()
}

/// How many pixels at most a resized one is made of, along an axis: those of Lanczos's larger kernel.
fn pixels_seen(from: usize, to: usize) -> usize {
    from.min(from.div_ceil(to.max(1)).saturating_mul(10).saturating_add(2))
}

/// How many numbers an operation reads to give its output.
fn steps(op: &Op, inputs: &[&[usize]], output: &[usize]) -> usize {
    let elements = count(output);
    let read = inputs.iter().map(|shape| count(shape)).fold(elements, usize::saturating_add);
    let size = |input: usize, axis: usize| inputs.get(input).and_then(|shape| shape.get(axis)).copied();
    let longest = || inputs.iter().flat_map(|shape| shape.iter()).copied().max().unwrap_or(1);
    match op {
        Op::Convolution(Convolution { kernel, .. }) => {
            let seen = product(kernel.shape.get(..3).unwrap_or_default());
            product(&[2, elements, seen])
        }
        Op::ConvolutionTranspose(ConvolutionTranspose { kernel, .. }) => {
            let seen = product(kernel.shape.get(..3).unwrap_or_default());
            product(&[2, inputs.first().map_or(0, |shape| count(shape)), seen])
        }
        Op::MatrixProduct { transposed } => {
            let axes = inputs.first().map_or(0, |shape| shape.len());
            let inner = axes.checked_sub(if transposed[0] { 2 } else { 1 });
            product(&[2, elements, inner.and_then(|axis| size(0, axis)).unwrap_or(1)])
        }
        Op::Einsum(equation) => {
            let mut letters: Vec<char> = Vec::new();
            let mut all = 1_usize;
            for (input, operand) in equation.operands.iter().enumerate() {
                for (axis, letter) in
                    operand.iter().enumerate().filter(|(_, letter)| !equation.output.contains(letter))
                {
                    if !letters.contains(letter) {
                        letters.push(*letter);
                        all = all.saturating_mul(size(input, axis).unwrap_or(1));
                    }
                }
            }
            product(&[inputs.len(), elements, all])
        }
        Op::Pool { windows, .. } => product(&[elements, windows[0].size, windows[1].size]),
        Op::Resize(_) => {
            let seen =
                |axis: usize| pixels_seen(size(0, axis).unwrap_or(1), output.get(axis).copied().unwrap_or(1));
            let columns = product(&[count(&columns_resized(inputs, output)), seen(2)]);
            columns.saturating_add(product(&[elements, seen(1)]))
        }
        // A sort takes about n log n comparisons.
        Op::Sort { .. } => product(&[read, longest().ilog2() as usize + 1]),
        Op::Input { .. }
        | Op::Constant(_)
        | Op::Patches { .. }
        | Op::Reduce(_)
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select
        | Op::FullLike { .. }
        | Op::Softmax { .. }
        | Op::LogSoftmax { .. }
        | Op::BatchNorm(_)
        | Op::CumulativeSum { .. }
        | Op::Reshape { .. }
        | Op::Transpose { .. }
        | Op::Concatenate { .. }
        | Op::Slice { .. }
        | Op::Pad { .. }
        | Op::Gather { .. }
        | Op::SpaceToDepth { .. }
        | Op::DepthToSpace { .. }
        | Op::Unresolved { .. } => read,
    }
}
