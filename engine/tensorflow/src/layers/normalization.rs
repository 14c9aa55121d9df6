//! Batch normalization, and the preprocessing layer `Normalization`.

use tensorflow::Output;

use crate::ops::{Attribute, Fault, Ops};
use keras::Tensor;
use keras::layers::BatchNorm;

pub(super) mod group;
pub(super) mod layer;

/// Keras's lower bound of the standard deviation in a `Normalization` layer.
const MIN_DEVIATION: f32 = 1e-7;

pub(super) fn batch_norm(ops: &mut Ops, norm: &BatchNorm, input: &Output) -> Result<Output, Fault> {
    let axis = ops.axis(input, norm.axis)?;
    let sizes = ops.sizes(input)?;
    let features = norm.mean.values.len();
    if let Some(size) = sizes[axis].filter(|size| *size != features) {
        return Err(Fault(format!("axis {axis} of its input has {size} elements, its weights {features}")));
    }
    if sizes.len() == 4 && axis == 3 { fused(ops, norm, input) } else { by_element(ops, norm, input, axis) }
}

/// Adds the operation that TensorFlow fuses with the convolution before it and the ReLU after it.
fn fused(ops: &mut Ops, norm: &BatchNorm, input: &Output) -> Result<Output, Fault> {
    let features = norm.mean.values.len();
    let gamma = weights_or(ops, norm.gamma.as_ref(), 1.0, features)?;
    let beta = weights_or(ops, norm.beta.as_ref(), 0.0, features)?;
    let mean = ops.weights(&norm.mean)?;
    let variance = ops.weights(&norm.variance)?;
    ops.op(
        "FusedBatchNormV3",
        &[input, &gamma, &beta, &mean, &variance],
        &[("epsilon", Attribute::Float(norm.epsilon)), ("is_training", Attribute::Bool(false))],
    )
}

fn by_element(ops: &mut Ops, norm: &BatchNorm, input: &Output, axis: usize) -> Result<Output, Fault> {
    let features = norm.mean.values.len();
    let mut shape = vec![1; ops.sizes(input)?.len()];
    shape[axis] = features;
    let value = |tensor: &Option<Tensor>, i: usize, default: f64| {
        tensor.as_ref().map_or(Some(default), |t| t.values.get(i).map(|v| f64::from(*v)))
    };
    // Computes in double precision and rounds once: the two constants are as exact as float32 allows.
    let (scale, offset): (Vec<f32>, Vec<f32>) = (0..features)
        .map(|i| {
            let variance = f64::from(*norm.variance.values.get(i)?);
            let scale = value(&norm.gamma, i, 1.0)? / (variance + f64::from(norm.epsilon)).sqrt();
            let offset = value(&norm.beta, i, 0.0)? - f64::from(norm.mean.values[i]) * scale;
            #[expect(clippy::cast_possible_truncation, reason = "the graph computes in float32")]
            Some((scale as f32, offset as f32))
        })
        .collect::<Option<_>>()
        .ok_or_else(|| Fault(format!("its weights differ in length, expected {features} values in each")))?;
    let scale = ops.constant(&shape, &scale)?;
    let offset = ops.constant(&shape, &offset)?;
    let scaled = ops.binary("Mul", input, &scale)?;
    ops.binary("AddV2", &scaled, &offset)
}

fn weights_or(
    ops: &mut Ops,
    tensor: Option<&Tensor>,
    default: f32,
    features: usize,
) -> Result<Output, Fault> {
    match tensor {
        Some(tensor) => ops.weights(tensor),
        None => ops.constant(&[features], &vec![default; features]),
    }
}

pub(super) fn normalization(
    ops: &mut Ops,
    mean: &Tensor,
    variance: &Tensor,
    input: &Output,
) -> Result<Output, Fault> {
    let mean = ops.weights(mean)?;
    let deviation = deviation(ops, variance)?;
    let centred = ops.binary("Sub", input, &mean)?;
    ops.binary("RealDiv", &centred, &deviation)
}

/// The inverse of [`normalization`].
pub(super) fn denormalization(
    ops: &mut Ops,
    mean: &Tensor,
    variance: &Tensor,
    input: &Output,
) -> Result<Output, Fault> {
    let mean = ops.weights(mean)?;
    let deviation = deviation(ops, variance)?;
    let spread = ops.binary("Mul", input, &deviation)?;
    ops.binary("AddV2", &spread, &mean)
}

fn deviation(ops: &mut Ops, variance: &Tensor) -> Result<Output, Fault> {
    let deviations: Vec<f32> = variance.values.iter().map(|v| v.sqrt().max(MIN_DEVIATION)).collect();
    ops.constant(&variance.shape, &deviations)
}
