//! Sums of products.

use super::array::{Array, each};
use super::windows::position;
use crate::op::{Convolution, ConvolutionTranspose, Equation};
use crate::tensor::Tensor;

fn bias(bias: Option<&Tensor>, channel: usize) -> f64 {
    bias.map_or(0.0, |bias| f64::from(bias.values[channel]))
}

fn weight(kernel: &Tensor, [row, column, third, last]: [usize; 4]) -> f64 {
    let shape = &kernel.shape;
    f64::from(kernel.values[((row * shape[1] + column) * shape[2] + third) * shape[3] + last])
}

pub(super) fn convolution(by: &Convolution, x: &Array, shape: &[usize]) -> Array {
    let [rows, columns, channels] = [0, 1, 2].map(|axis| by.kernel.shape[axis]);
    let outputs = by.kernel.shape[3] / by.groups;
    Array::from_fn(shape, |index| {
        let output = index[3];
        let first = output / outputs * channels;
        let mut sum = bias(by.bias.as_ref(), output);
        for u in 0..rows {
            let Some(row) = position(by.windows[0], index[1], u, x.shape[1]) else { continue };
            for v in 0..columns {
                let Some(column) = position(by.windows[1], index[2], v, x.shape[2]) else { continue };
                for channel in 0..channels {
                    let value = x.at(&[index[0], row, column, first + channel]);
                    sum += value * weight(&by.kernel, [u, v, channel, output]);
                }
            }
        }
        sum
    })
}

pub(super) fn convolution_transpose(by: &ConvolutionTranspose, x: &Array, shape: &[usize]) -> Array {
    let [rows, columns, outputs] = [0, 1, 2].map(|axis| by.kernel.shape[axis]);
    let mut result = Array::from_fn(shape, |index| bias(by.bias.as_ref(), index[3]));
    each(&x.shape, |index| {
        let (value, channel) = (x.at(index), index[3]);
        for u in 0..rows {
            let Some(row) = position(by.windows[0], index[1], u, shape[1]) else { continue };
            for v in 0..columns {
                let Some(column) = position(by.windows[1], index[2], v, shape[2]) else { continue };
                for output in 0..outputs {
                    let offset = result.offset(&[index[0], row, column, output]);
                    result.values[offset] += value * weight(&by.kernel, [u, v, output, channel]);
                }
            }
        }
    });
    result
}

pub(super) fn of_matrices(transposed: [bool; 2], left: &Array, right: &Array, shape: &[usize]) -> Array {
    // Row and column of a matrix, where it lies in memory.
    let placed =
        |swapped: bool, row: usize, column: usize| if swapped { [column, row] } else { [row, column] };
    let [left_axes, right_axes] = [left, right].map(|array| array.shape.len());
    let inner = left.shape[if transposed[0] { left_axes - 2 } else { left_axes - 1 }];
    let outer = shape.len() - 2;
    Array::from_fn(shape, |index| {
        let mut index_left = index.to_vec();
        let mut index_right = index.to_vec();
        let (row, column) = (index[outer], index[outer + 1]);
        let product = |step: usize| {
            index_left[outer..].copy_from_slice(&placed(transposed[0], row, step));
            index_right[outer..].copy_from_slice(&placed(transposed[1], step, column));
            left.broadcast_at(&index_left) * right.broadcast_at(&index_right)
        };
        debug_assert!(left_axes >= 2 && right_axes >= 2);
        (0..inner).map(product).sum()
    })
}

pub(super) fn einsum(equation: &Equation, inputs: &[&Array], shape: &[usize]) -> Array {
    // Each letter has a place in one list of positions: those of the output, then those that are summed over.
    let mut letters = equation.output.clone();
    let mut sizes = shape.to_vec();
    for (letter, size) in
        equation.operands.iter().zip(inputs).flat_map(|(operand, input)| operand.iter().zip(&input.shape))
    {
        if !letters.contains(letter) {
            letters.push(*letter);
            sizes.push(*size);
        }
    }
    let place = |letter: &char| letters.iter().position(|other| other == letter).unwrap_or_default();
    let axes: Vec<Vec<usize>> =
        equation.operands.iter().map(|operand| operand.iter().map(place).collect()).collect();
    let mut result = Array { shape: shape.to_vec(), values: vec![0.0; shape.iter().product()] };
    each(&sizes, |positions| {
        let element = |(input, axes): (&&Array, &Vec<usize>)| {
            let own = axes.iter().zip(&input.shape);
            input.values[own.fold(0, |offset, (place, size)| offset * size + positions[*place])]
        };
        let product: f64 = inputs.iter().zip(&axes).map(element).product();
        let offset = result.offset(&positions[..shape.len()]);
        result.values[offset] += product;
    });
    result
}
