//! The preprocessing layer `Normalization`, whose statistics were computed before the training (`adapt`).

use std::sync::Arc;

use model::{Binary, Builder, Fault, Value};

use crate::Tensor;
use crate::json::{plain, shown};
use crate::layers::lowering::expect_fitting;
use crate::layers::{Layer, operation};
use crate::reader::Reader;
use crate::shapes::{Sizes, axis_after_batch};

/// Keras's lower bound of the standard deviation.
const MIN_DEVIATION: f32 = 1e-7;

/// Reads the statistics from weights, or from numbers in the config. Gives them an axis for each of the input's, of size 1
/// where they broadcast.
pub(in crate::layers) fn normalization(reader: &mut Reader) -> Layer {
    let inverted = reader.flag_or("invert", false);
    let layer = |mean: Tensor, variance: Tensor| match inverted {
        false => Layer::Normalization { mean, variance },
        true => Layer::Denormalization { mean, variance },
    };
    // Keras 2 may write the input's dimension, which is known.
    reader.ignore(&["input_dim"]);
    let axes = reader.integers("axis").unwrap_or_default();
    let mean = numbers(reader, "mean");
    let variance = numbers(reader, "variance");
    let Some(input) = reader.input() else {
        reader.unsure();
        return Layer::Identity;
    };
    let mut kept = Vec::new();
    for axis in axes {
        match axis_after_batch(axis, input) {
            Ok(axis) => kept.push(axis),
            Err(problem) => reader.fault(problem),
        }
    }
    kept.sort_unstable();
    let sizes: Sizes = kept.iter().map(|&axis| input[axis]).collect();
    match (mean, variance) {
        (None, None) => {
            let mut shared = vec![1; input.len()];
            for &axis in &kept {
                shared[axis] = input[axis].unwrap_or(1);
            }
            let mean = reader.statistic(&["mean"], &sizes);
            let variance = reader.statistic(&["variance"], &sizes);
            reader.unneeded(&["count"], &[]);
            let spread = |weight: Tensor| Tensor { shape: shared.clone(), values: weight.values };
            layer(spread(mean), spread(variance))
        }
        (Some(mean), Some(variance)) => {
            let mut spread = |key: &str, numbers: Tensor| {
                let shape = spread(&numbers.shape, &kept, input).unwrap_or_else(|| {
                    let found = &numbers.shape;
                    reader
                        .fault(format!("`{key}` has shape {found:?}, which does not fit the axes it keeps"));
                    vec![1; input.len()]
                });
                Tensor { shape, values: numbers.values }
            };
            layer(spread("mean", mean), spread("variance", variance))
        }
        (Some(_), None) | (None, Some(_)) => {
            reader.fault("only one of `mean` and `variance` is set, expected both or none");
            Layer::Identity
        }
    }
}

/// Reads a number, or numbers in nested lists.
fn numbers(reader: &mut Reader, key: &'static str) -> Option<Tensor> {
    let value = reader.value(key)?;
    let (mut shape, mut values) = (Vec::new(), Vec::new());
    if !operation::flatten(plain(value), 0, &mut shape, &mut values) {
        reader.fault(format!("`{key}` is {}, expected numbers", shown(value)));
        return None;
    }
    Some(Tensor { shape, values: Arc::from(values) })
}

/// Broadcasts a shape to the axes of the input. Its last axis is the last of the kept axes.
fn spread(shape: &[usize], kept: &[usize], input: &Sizes) -> Option<Vec<usize>> {
    let mut spread = vec![1; input.len()];
    // Leading axes of size 1 are dropped.
    let more = shape.len().saturating_sub(kept.len());
    let (before, shape) = shape.split_at(more);
    for (&size, &axis) in shape.iter().rev().zip(kept.iter().rev()) {
        if size != 1 && input[axis].is_some_and(|of| of != size) {
            return None;
        }
        spread[axis] = size;
    }
    before.iter().all(|&size| size == 1).then_some(spread)
}

/// `(x - mean) / deviation`.
pub(in crate::layers) fn normalized(
    mean: &Tensor,
    variance: &Tensor,
    builder: &mut Builder,
    x: Value,
) -> Result<Value, Fault> {
    expect_fitting(&mean.shape, builder, x)?;
    expect_fitting(&variance.shape, builder, x)?;
    let centred = builder.with_constant(Binary::Subtract, x, mean)?;
    builder.with_constant(Binary::Divide, centred, &deviation(variance))
}

/// The inverse of [`normalized`].
pub(in crate::layers) fn denormalized(
    mean: &Tensor,
    variance: &Tensor,
    builder: &mut Builder,
    x: Value,
) -> Result<Value, Fault> {
    expect_fitting(&mean.shape, builder, x)?;
    expect_fitting(&variance.shape, builder, x)?;
    let spread = builder.with_constant(Binary::Multiply, x, &deviation(variance))?;
    builder.with_constant(Binary::Add, spread, mean)
}

fn deviation(variance: &Tensor) -> Tensor {
    variance.map(|variance| variance.sqrt().max(MIN_DEVIATION))
}
