//! Reductions, and what works along an axis.

use super::array::{Array, each};
use super::functions::{maximum, minimum};
use crate::op::{BatchNorm, Reduction};

/// The axes are dropped or stay with size 1: the elements of the output are the same.
pub(super) fn reduce(kind: Reduction, axes: &[usize], x: &Array, shape: &[usize]) -> Array {
    let start = match kind {
        Reduction::Mean | Reduction::Sum => 0.0,
        Reduction::Max => f64::NEG_INFINITY,
        Reduction::Min => f64::INFINITY,
        Reduction::Product => 1.0,
    };
    let count: usize = axes.iter().map(|axis| x.shape[*axis]).product();
    let kept: Vec<usize> = (0..x.shape.len()).filter(|axis| !axes.contains(axis)).collect();
    let mut result = Array { shape: kept.iter().map(|axis| x.shape[*axis]).collect(), values: Vec::new() };
    result.values = vec![start; result.shape.iter().product()];
    each(&x.shape, |index| {
        let own: Vec<usize> = kept.iter().map(|axis| index[*axis]).collect();
        let offset = result.offset(&own);
        let (so_far, value) = (result.values[offset], x.at(index));
        result.values[offset] = match kind {
            Reduction::Mean | Reduction::Sum => so_far + value,
            Reduction::Max => maximum(so_far, value),
            Reduction::Min => minimum(so_far, value),
            Reduction::Product => so_far * value,
        };
    });
    if kind == Reduction::Mean {
        result = result.map(|sum| sum / count as f64);
    }
    Array { shape: shape.to_vec(), ..result }
}

/// Each line of an axis becomes another of the same length.
pub(super) fn along(x: &Array, axis: usize, function: impl Fn(&mut [f64])) -> Array {
    let length = x.shape[axis];
    let stride: usize = x.shape[axis + 1..].iter().product();
    let mut result = x.clone();
    for start in 0..x.values.len() {
        // The elements that lie first on their line.
        if !(start / stride).is_multiple_of(length) {
            continue;
        }
        let places = (0..length).map(|index| start + index * stride);
        let mut line: Vec<f64> = places.clone().map(|place| x.values[place]).collect();
        function(&mut line);
        for (place, value) in places.zip(line) {
            result.values[place] = value;
        }
    }
    result
}

fn largest(line: &[f64]) -> f64 {
    line.iter().copied().fold(f64::NEG_INFINITY, maximum)
}

pub(super) fn softmax(line: &mut [f64]) {
    let largest = largest(line);
    line.iter_mut().for_each(|value| *value = (*value - largest).exp());
    let sum: f64 = line.iter().sum();
    line.iter_mut().for_each(|value| *value /= sum);
}

pub(super) fn log_softmax(line: &mut [f64]) {
    let largest = largest(line);
    let sum: f64 = line.iter().map(|value| (value - largest).exp()).sum();
    line.iter_mut().for_each(|value| *value = *value - largest - sum.ln());
}

pub(super) fn sort(line: &mut [f64]) {
    line.sort_by(|one, other| other.total_cmp(one));
}

pub(super) fn cumulative_sum(line: &mut [f64]) {
    let mut sum = 0.0;
    for value in line {
        sum += *value;
        *value = sum;
    }
}

pub(super) fn batch_norm(norm: &BatchNorm, x: &Array) -> Array {
    let weight = |index: usize, values: &[f32]| f64::from(values[index]);
    Array::from_fn(&x.shape, |index| {
        let channel = index[norm.axis];
        let deviation = (weight(channel, &norm.variance.values) + f64::from(norm.epsilon)).sqrt();
        let normal = (x.at(index) - weight(channel, &norm.mean.values)) / deviation;
        let gamma = norm.gamma.as_ref().map_or(1.0, |gamma| weight(channel, &gamma.values));
        let beta = norm.beta.as_ref().map_or(0.0, |beta| weight(channel, &beta.values));
        gamma * normal + beta
    })
}
