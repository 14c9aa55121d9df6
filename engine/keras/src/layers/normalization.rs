//! `LayerNormalization`, `RMSNormalization` and `UnitNormalization`. The other normalizations have files of their own.

use model::{Binary, Builder, Fault, Unary, Value};

use super::lowering::{expect_fitting, with_batch};
use crate::Tensor;
use crate::architecture::Dialect;
use crate::layers::Layer;
use crate::reader::Reader;
use crate::shapes::{Sizes, axes_after_batch, axis_after_batch};

pub(super) mod batch;
pub(super) mod group;
pub(super) mod preprocessing;

/// [`Layer::LayerNorm`]. Mean, variance and mean square are those of each image.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    /// Which formula.
    pub kind: LayerNormKind,
    /// The axes that are normalized together, counted from 0 after the batch, ascending.
    pub axes: Vec<usize>,
    /// Learnt scale; broadcasts against the input without its batch.
    pub gamma: Option<Tensor>,
    /// Learnt offset; broadcasts against the input without its batch.
    pub beta: Option<Tensor>,
    /// Added to the variance, or to the mean of the squares.
    pub epsilon: f32,
}

/// The kinds of [`LayerNorm`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerNormKind {
    /// `gamma * (input - mean) / sqrt(variance + epsilon) + beta`.
    Standard,
    /// `gamma * input / sqrt(variance + epsilon)`, which Keras 3 calls `rms_scaling`.
    RmsScaling,
    /// `gamma * input / sqrt(mean of squares + epsilon)`.
    Rms,
    /// `gamma * (input - mean) / sqrt(max(variance, epsilon)) + beta`.
    VarianceFloor,
}

/// [`Layer::UnitNorm`]: `input / sqrt(max(sum of squares, epsilon))`.
#[derive(Debug, Clone)]
pub struct UnitNorm {
    /// The axes along which vectors get length one, counted from 0 after the batch, ascending.
    pub axes: Vec<usize>,
    /// The lower bound of the sum of squares.
    pub epsilon: f32,
}

/// Gamma and beta have one value for each element of the normalized axes.
pub(super) fn layer_normalization(reader: &mut Reader) -> Layer {
    let rms_scaling = reader.flag_or("rms_scaling", false);
    let scaled = reader.flag_or("scale", true) || rms_scaling;
    let centered = reader.flag_or("center", true) && !rms_scaling;
    let epsilon = reader.number_or("epsilon", 1e-3);
    let Some(Axes { sorted, sizes, spread }) = normalized_axes(reader) else {
        return Layer::Identity;
    };
    let broadcast = |weight: Tensor| Tensor { shape: spread.clone(), values: weight.values };
    let gamma = scaled.then(|| broadcast(reader.weight(&["gamma"], &sizes)));
    let beta = centered.then(|| broadcast(reader.weight(&["beta"], &sizes)));
    let kind = if rms_scaling { LayerNormKind::RmsScaling } else { LayerNormKind::Standard };
    Layer::LayerNorm(LayerNorm { kind, axes: sorted, gamma, beta, epsilon })
}

/// The scale has no axes between and after the normalized ones, as in Keras. It broadcasts as in NumPy.
pub(super) fn rms_normalization(reader: &mut Reader) -> Layer {
    let epsilon = reader.number_or("epsilon", 1e-6);
    let Some(Axes { sorted, sizes, .. }) = normalized_axes(reader) else {
        return Layer::Identity;
    };
    let gamma = Some(reader.weight(&["scale"], &sizes));
    let kind = LayerNormKind::Rms;
    Layer::LayerNorm(LayerNorm { kind, axes: sorted, gamma, beta: None, epsilon })
}

pub(super) fn unit_normalization(reader: &mut Reader) -> Layer {
    let axes = reader.integers("axis").unwrap_or_else(|| vec![-1]);
    let Some(input) = reader.input() else { return Layer::Identity };
    let axes = axes_after_batch(&axes, input).unwrap_or_else(|problem| {
        reader.fault(problem);
        Vec::new()
    });
    let epsilon = match reader.dialect {
        Dialect::Keras2 => 1e-12,
        // Keras 3 bounds the length instead of its square.
        Dialect::Keras3 => 1e-24,
    };
    Layer::UnitNorm(UnitNorm { axes, epsilon })
}

/// Reads `l2_normalize` of TensorFlow and `ops.normalize` of Keras 3.
pub(super) fn normalized(class: &str, reader: &mut Reader) -> Option<Layer> {
    let (usual_axes, square, epsilon) = match class {
        "tf.math.l2_normalize" | "tf.nn.l2_normalize" | "tf.linalg.l2_normalize" => (None, false, 1e-12),
        "ops.Normalize" => (Some(-1), true, 1e-7),
        _ => return None,
    };
    reader.subject();
    let order = reader.integer_or("order", 2);
    if order != 2 {
        reader.fault(format!("`order` is {order}, expected 2, by which vectors get the length 1"));
    }
    // Keras 3 bounds the length instead of its square.
    let epsilon = reader.number_or("epsilon", epsilon);
    let epsilon = if square { epsilon * epsilon } else { epsilon };
    let axes = reader.integers("axis").or(usual_axes.map(|axis| vec![axis]));
    let Some(input) = reader.input() else { return Some(Layer::Identity) };
    let axes = axes.ok_or_else(|| "it normalizes the batch too, expected an `axis` after it".to_owned());
    let axes = axes.and_then(|axes| axes_after_batch(&axes, input)).unwrap_or_else(|problem| {
        reader.fault(problem);
        Vec::new()
    });
    Some(Layer::UnitNorm(UnitNorm { axes, epsilon }))
}

/// The axes that are normalized together.
struct Axes {
    /// Counted from 0 after the batch.
    sorted: Vec<usize>,
    /// Sizes of the axes, in the order of the weights' axes.
    sizes: Sizes,
    /// The weights' shape, with size 1 for the axes between and after them.
    spread: Vec<usize>,
}

/// Reads the axes that are normalized together. Returns `None` where the input is unknown.
fn normalized_axes(reader: &mut Reader) -> Option<Axes> {
    let mut given = reader.integers("axis").unwrap_or_else(|| vec![-1]);
    let Some(input) = reader.input() else {
        reader.unsure();
        return None;
    };
    // Keras 3 sorts them as written: negative ones come before the others.
    if reader.dialect == Dialect::Keras3 {
        given.sort_unstable();
    }
    let sorted = axes_after_batch(&given, input).unwrap_or_else(|problem| {
        reader.fault(problem);
        Vec::new()
    });
    let sizes: Sizes =
        given.iter().filter_map(|&axis| axis_after_batch(axis, input).ok()).map(|axis| input[axis]).collect();
    if sizes.contains(&None) {
        reader.fault("an axis that it normalizes has no fixed size, expected one");
    }
    let from = sorted.first().copied().unwrap_or(0);
    let spread =
        (from..input.len()).map(|axis| input[axis].filter(|_| sorted.contains(&axis)).unwrap_or(1)).collect();
    Some(Axes { sorted, sizes, spread })
}

impl LayerNorm {
    pub(super) fn lower(&self, builder: &mut Builder, x: Value) -> Result<Value, Fault> {
        for weight in [&self.gamma, &self.beta].into_iter().flatten() {
            expect_fitting(&weight.shape, builder, x)?;
        }
        let axes = with_batch(&self.axes);
        let (values, spread) = match self.kind {
            LayerNormKind::Standard | LayerNormKind::VarianceFloor => {
                let centred = builder.centred(x, &axes)?;
                (centred.values, centred.variance)
            }
            LayerNormKind::RmsScaling => (x, builder.centred(x, &axes)?.variance),
            LayerNormKind::Rms => (x, builder.mean_square(x, &axes)?),
        };
        let bounded = match self.kind {
            LayerNormKind::VarianceFloor => Binary::Maximum,
            LayerNormKind::Standard | LayerNormKind::RmsScaling | LayerNormKind::Rms => Binary::Add,
        };
        let spread = builder.with_scalar(bounded, spread, self.epsilon)?;
        let mut scale = builder.unary(Unary::Rsqrt, spread)?;
        if let Some(gamma) = &self.gamma {
            scale = builder.with_constant(Binary::Multiply, scale, gamma)?;
        }
        let scaled = builder.binary(Binary::Multiply, values, scale)?;
        builder.biased(scaled, self.beta.as_ref())
    }
}

impl UnitNorm {
    pub(super) fn lower(&self, builder: &mut Builder, x: Value) -> Result<Value, Fault> {
        builder.of_length_one(x, &with_batch(&self.axes), self.epsilon)
    }
}

/// The size of an axis, which the weights' shapes need. It has to be fixed.
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
