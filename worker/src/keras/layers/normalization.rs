//! `BatchNormalization`, `LayerNormalization`, and the preprocessing layer `Normalization`.

use std::sync::Arc;

use crate::keras::Tensor;
use crate::keras::layers::{BatchNorm, Layer, LayerNorm};
use crate::keras::reader::Reader;
use crate::keras::shapes::{Shape, axis_after_batch};

pub(super) fn batch_normalization(reader: &mut Reader) -> Layer {
    // How the statistics were gathered does not matter once they are there; renormalization adds weights.
    reader.ignore(&["momentum", "synchronized", "renorm_clipping", "renorm_momentum", "fused"]);
    reader.unset("renorm");
    reader.unset("virtual_batch_size");
    let axis = match reader.integers("axis").as_deref() {
        None => -1,
        Some([axis]) => *axis,
        Some(axes) => {
            reader.fault(format!("`axis` is {axes:?}, expected one axis"));
            -1
        }
    };
    let size = size_of_axis(reader, axis);
    let scaled = reader.flag_or("scale", true);
    let centered = reader.flag_or("center", true);
    Layer::BatchNorm(BatchNorm {
        axis,
        gamma: scaled.then(|| reader.weight(&["gamma"], &[size])),
        beta: centered.then(|| reader.weight(&["beta"], &[size])),
        mean: reader.statistic(&["moving_mean"], &[size]),
        variance: reader.statistic(&["moving_variance"], &[size]),
        epsilon: reader.number_or("epsilon", 1e-3),
    })
}

/// Gamma and beta have one value for each element of the normalized axes.
pub(super) fn layer_normalization(reader: &mut Reader) -> Layer {
    reader.unset("rms_scaling");
    let given = reader.integers("axis").unwrap_or_else(|| vec![-1]);
    let scaled = reader.flag_or("scale", true);
    let centered = reader.flag_or("center", true);
    let epsilon = reader.number_or("epsilon", 1e-3);
    let Some(input) = reader.input() else {
        reader.unsure();
        return Layer::Identity;
    };
    let mut axes = Vec::new();
    for axis in given {
        match axis_after_batch(axis, input) {
            Ok(axis) => axes.push(axis),
            Err(problem) => reader.fault(problem),
        }
    }
    if axes.is_empty() || !axes.is_sorted_by(|one, next| one < next) {
        reader.fault(format!("`axis` names the axes {axes:?} after the batch, expected them in order"));
    }
    let sizes: Shape = axes.iter().map(|&axis| input[axis]).collect();
    if sizes.contains(&None) {
        reader.fault("an axis that it normalizes has no fixed size, expected one");
    }
    // Sizes of 1 for the axes between and behind them.
    let from = axes.first().copied().unwrap_or(0);
    let spread: Vec<usize> =
        (from..input.len()).map(|axis| input[axis].filter(|_| axes.contains(&axis)).unwrap_or(1)).collect();
    let broadcast = |weight: Tensor| Tensor { shape: spread.clone(), values: weight.values };
    let gamma = scaled.then(|| broadcast(reader.weight(&["gamma"], &sizes)));
    let beta = centered.then(|| broadcast(reader.weight(&["beta"], &sizes)));
    Layer::LayerNorm(LayerNorm { axes, gamma, beta, epsilon })
}

/// Statistics come as weights, or as numbers in the config. Either way they are kept with an axis for each
/// of the input's, of size 1 where they are shared.
pub(super) fn normalization(reader: &mut Reader) -> Layer {
    reader.unset("invert");
    // Keras 2 may write how the input is to be seen, which says nothing new.
    reader.ignore(&["input_dim"]);
    let axes = reader.integers("axis").unwrap_or_default();
    let mean = reader.numbers("mean");
    let variance = reader.numbers("variance");
    let Some(input) = reader.input() else {
        reader.unsure();
        return Layer::Normalization { mean: tensor(Vec::new(), &[]), variance: tensor(Vec::new(), &[]) };
    };
    let mut kept = Vec::new();
    for axis in axes {
        match axis_after_batch(axis, input) {
            Ok(axis) => kept.push(axis),
            Err(problem) => reader.fault(problem),
        }
    }
    kept.sort_unstable();
    let sizes: Shape = kept.iter().map(|&axis| input[axis]).collect();
    let mut shared = vec![1; input.len()];
    for &axis in &kept {
        shared[axis] = input[axis].unwrap_or(1);
    }
    let count: usize = shared.iter().product();
    match (mean, variance) {
        (None, None) => {
            let mean = reader.statistic(&["mean"], &sizes);
            let variance = reader.statistic(&["variance"], &sizes);
            reader.unneeded(&["count"], &[]);
            let spread = |weight: Tensor| Tensor { shape: shared.clone(), values: weight.values };
            Layer::Normalization { mean: spread(mean), variance: spread(variance) }
        }
        (Some(mean), Some(variance)) => {
            for (key, values) in [("mean", &mean), ("variance", &variance)] {
                if values.len() != 1 && values.len() != count {
                    reader.fault(format!("`{key}` has {} values, expected {count}", values.len()));
                }
            }
            Layer::Normalization { mean: tensor(mean, &shared), variance: tensor(variance, &shared) }
        }
        (Some(_), None) | (None, Some(_)) => {
            reader.fault("only one of `mean` and `variance` is set, expected both or none");
            Layer::Identity
        }
    }
}

fn tensor(values: Vec<f32>, shape: &[usize]) -> Tensor {
    let shape = if values.len() == 1 { vec![1; shape.len()] } else { shape.to_vec() };
    Tensor { shape, values: Arc::from(values) }
}

fn size_of_axis(reader: &mut Reader, axis: i64) -> Option<usize> {
    let input = reader.input()?;
    match axis_after_batch(axis, input) {
        Ok(index) if input[index].is_some() => input[index],
        Ok(_) => {
            reader.fault(format!("axis {axis} of its input has no fixed size, expected one"));
            None
        }
        Err(problem) => {
            reader.fault(problem);
            None
        }
    }
}
