//! Batch normalizations after convolutions.

use std::sync::Arc;

use crate::graph::Graph;
use crate::op::{BatchNorm, Convolution, ConvolutionTranspose, Op};
use crate::tensor::Tensor;

/// Folds a batch normalization of channels into the convolution that it alone reads: a scale of the kernel, and a bias. They
/// are computed in double precision and rounded once, so that the new weights are as exact as float32 allows.
#[must_use]
pub fn fold_batch_norms(graph: Graph) -> Graph {
    let mut readers = graph.readers();
    super::visit(graph, |graph, value| {
        let [before] = graph.node(value).inputs[..] else { return None };
        let Op::BatchNorm(norm) = &graph.node(value).op else { return None };
        if norm.axis != 3 || readers[before.index()] != 1 {
            return None;
        }
        let before_op = &graph.node(before).op;
        let folded = if let Op::Convolution(by) = before_op {
            let (kernel, bias) = scaled(&by.kernel, 3, by.bias.as_ref(), norm)?;
            Op::Convolution(Convolution { kernel, bias: Some(bias), ..by.clone() })
        } else if let Op::ConvolutionTranspose(by) = before_op {
            let (kernel, bias) = scaled(&by.kernel, 2, by.bias.as_ref(), norm)?;
            Op::ConvolutionTranspose(ConvolutionTranspose { kernel, bias: Some(bias), ..by.clone() })
        } else {
            return None;
        };
        graph.nodes[before.index()].op = folded;
        readers[before.index()] = readers[value.index()];
        Some(before)
    })
}

/// Kernel and bias of a convolution with a normalization after it. The kernel has the outputs of the convolution on one axis.
/// None where weights were not read.
fn scaled(kernel: &Tensor, axis: usize, bias: Option<&Tensor>, norm: &BatchNorm) -> Option<(Tensor, Tensor)> {
    let affine = norm.affine();
    let outputs = affine.len();
    if outputs == 0 || !kernel.is_read() || kernel.shape.get(axis) != Some(&outputs) {
        return None;
    }
    // How many elements there are of an output side by side.
    let each: usize = kernel.shape[axis + 1..].iter().product();
    let scales: Vec<f64> = affine.iter().flat_map(|(scale, _)| std::iter::repeat_n(*scale, each)).collect();
    let scale = |(index, weight): (usize, &f32)| (f64::from(*weight) * scales[index % scales.len()]) as f32;
    let scaled =
        Tensor::new(&kernel.shape, kernel.values.iter().enumerate().map(scale).collect::<Arc<[f32]>>());
    let before = |output: usize| match bias {
        Some(bias) => bias.values.get(output).copied().map(f64::from),
        None => Some(0.0),
    };
    let offset =
        |(output, (scale, offset)): (usize, &(f64, f64))| Some((before(output)? * scale + offset) as f32);
    let offsets = affine.iter().enumerate().map(offset).collect::<Option<Vec<f32>>>()?;
    Some((scaled, Tensor::vector(offsets)))
}
