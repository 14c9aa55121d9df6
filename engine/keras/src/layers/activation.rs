//! `Activation` and layers such as `ReLU`, and the functions that other layers name in `activation`.

use serde_json::{Map, Value};

use crate::architecture::Dialect;
use crate::json::shown;
use crate::layers::{Layer, libraries};
use crate::reader::Reader;
use crate::shapes::{Sizes, axes_after_batch};

mod lowering;
mod piecewise;

pub(super) use self::lowering::{prelu_of, softmax_over};

/// Activation functions with their parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// `x`.
    Linear,
    /// `min(x, max_value)` where `x > threshold`, else `negative_slope * (x - threshold)`.
    Relu {
        /// Upper bound.
        max_value: Option<f32>,
        /// Slope below the threshold.
        negative_slope: f32,
        /// The threshold.
        threshold: f32,
    },
    /// Softmax over one axis.
    Softmax {
        /// The axis, counted with the batch; may be negative.
        axis: i64,
    },
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// `x` where positive, else `alpha * (exp(x) - 1)`.
    Elu {
        /// Scale of the negative part.
        alpha: f32,
    },
    /// Scaled ELU with the constants of Klambauer et al. 2017.
    Selu,
    /// `log(1 + exp(x))`.
    Softplus,
    /// `x / (1 + |x|)`.
    Softsign,
    /// `x * sigmoid(x)`, also called SiLU.
    Swish,
    /// `x * Φ(x)`, or its tanh approximation.
    Gelu {
        /// Whether to use the approximation.
        approximate: bool,
    },
    /// `clip(x * slope + 0.5, 0, 1)`: slope 0.2 in Keras 2, 1/6 in Keras 3.
    HardSigmoid {
        /// Factor of `x`.
        slope: f32,
    },
    /// `x * clip(x / 6 + 0.5, 0, 1)`.
    HardSwish,
    /// `exp(x)`.
    Exponential,
    /// The logarithm of the softmax over one axis.
    LogSoftmax {
        /// The axis, counted with the batch; may be negative.
        axis: i64,
    },
    /// The logarithm of the sigmoid.
    LogSigmoid,
    /// `x * tanh(log(1 + exp(x)))`.
    Mish,
    /// `x` where positive, else `alpha * (exp(x / alpha) - 1)`.
    Celu {
        /// Scale of the negative part.
        alpha: f32,
    },
    /// The first half of an axis times the sigmoid of the second half.
    Glu {
        /// The axis, counted with the batch; may be negative.
        axis: i64,
    },
    /// `clip(x, -1, 1)`.
    HardTanh,
    /// `x` where `|x| > threshold`, else 0.
    HardShrink {
        /// The threshold.
        threshold: f32,
    },
    /// `x` moved towards 0 by the threshold; 0 where `|x|` is not greater than it.
    SoftShrink {
        /// The threshold.
        threshold: f32,
    },
    /// `x - tanh(x)`.
    TanhShrink,
    /// `x` where `x > threshold`, else another value.
    Threshold {
        /// The threshold.
        threshold: f32,
        /// The other value.
        otherwise: f32,
    },
    /// 0 up to -1, `x` from 1 on, `(x + 1)² / 4` between.
    SparsePlus,
    /// `clip((x + 1) / 2, 0, 1)`.
    SparseSigmoid,
    /// `max(x - τ, 0)` over one axis, with the threshold τ as Keras computes it.
    Sparsemax {
        /// The axis, counted with the batch; may be negative.
        axis: i64,
    },
    /// `(x + sqrt(x² + b)) / 2`.
    Squareplus {
        /// Smoothness.
        b: f32,
    },
}

impl Activation {
    /// The plain ReLU.
    pub const RELU: Self = Self::Relu { max_value: None, negative_slope: 0.0, threshold: 0.0 };
}

impl Reader<'_> {
    /// Returns the function of `activation`; an absent one is linear.
    pub(super) fn activation(&mut self) -> Activation {
        self.function("activation")
    }

    /// Returns the function of a key; an absent one is linear.
    pub(super) fn function(&mut self, key: &'static str) -> Activation {
        let Some(value) = self.value(key) else { return Activation::Linear };
        parse(value, self.dialect).unwrap_or_else(|problem| {
            self.fault(problem);
            Activation::Linear
        })
    }
}

pub(super) fn activation(reader: &mut Reader) -> Layer {
    if reader.value("activation").is_none() {
        reader.fault("its config has no `activation`");
    }
    Layer::Activation(reader.activation())
}

pub(super) fn relu(reader: &mut Reader) -> Activation {
    Activation::Relu {
        max_value: reader.optional_number("max_value"),
        negative_slope: reader.number_or("negative_slope", 0.0),
        threshold: reader.number_or("threshold", 0.0),
    }
}

/// Keras 2 calls the slope `alpha`.
pub(super) fn leaky_relu(reader: &mut Reader) -> Activation {
    let alpha = reader.optional_number("alpha");
    let slope = reader.optional_number("negative_slope");
    if alpha.is_some() && slope.is_some() {
        reader.fault("both `alpha` and `negative_slope` are set, expected one of them");
    }
    Activation::Relu { max_value: None, negative_slope: slope.or(alpha).unwrap_or(0.3), threshold: 0.0 }
}

pub(super) fn elu(reader: &mut Reader) -> Activation {
    Activation::Elu { alpha: reader.number_or("alpha", 1.0) }
}

fn softmax(reader: &mut Reader) -> Activation {
    Activation::Softmax { axis: reader.integer_or("axis", -1) }
}

/// Reads a softmax over one axis, or over several jointly.
pub(super) fn softmax_layer(reader: &mut Reader) -> Layer {
    // How a mask is applied, of which images have none.
    reader.ignore(&["robust_masking"]);
    let axes = reader.integers("axis").unwrap_or_else(|| vec![-1]);
    if let [axis] = axes[..] {
        return Layer::Activation(Activation::Softmax { axis });
    }
    let Some(input) = reader.input() else { return Layer::Identity };
    let axes = axes_after_batch(&axes, input).unwrap_or_else(|problem| {
        reader.fault(problem);
        Vec::new()
    });
    Layer::SoftmaxOver { axes }
}

/// `x` where it is larger than `theta`, else 0.
pub(super) fn thresholded_relu(reader: &mut Reader) -> Activation {
    Activation::Threshold { threshold: reader.number_or("theta", 1.0), otherwise: 0.0 }
}

pub(super) fn prelu(reader: &mut Reader) -> Layer {
    let shared = reader.integers("shared_axes").unwrap_or_default();
    let Some(input) = reader.input() else {
        reader.unsure();
        return Layer::Identity;
    };
    let mut shape: Sizes = input.clone();
    for axis in shared {
        let index = usize::try_from(axis).ok().and_then(|axis| axis.checked_sub(1));
        match index.and_then(|index| shape.get_mut(index)) {
            Some(size) => *size = Some(1),
            None => reader.fault(format!("`shared_axes` has {axis}, expected axes of its input")),
        }
    }
    if shape.contains(&None) {
        reader.fault("its input has an axis without a fixed size, which it does not share");
    }
    Layer::Prelu { alpha: reader.weight(&["alpha"], &shape) }
}

/// Parses the function under an `activation` key: its name, or an object in one of Keras's forms.
///
/// # Errors
/// The function is not supported; names it.
pub(crate) fn parse(value: &Value, dialect: Dialect) -> Result<Activation, String> {
    let unknown = || format!("activation {} is not supported", shown(value));
    match value {
        Value::String(name) => by_name(name, dialect).ok_or_else(unknown),
        Value::Object(object) => {
            let text = |key: &str| object.get(key).and_then(Value::as_str);
            let own = text("registered_name").is_some_and(|name| name.contains('>'));
            match (text("class_name"), object.get("config")) {
                _ if own => text("registered_name").and_then(libraries::activation).ok_or_else(unknown),
                (Some("function"), Some(Value::String(name))) => by_name(name, dialect).ok_or_else(unknown),
                (Some(class), Some(Value::Object(config))) => layer(class, config, dialect)
                    .ok_or_else(unknown)
                    .and_then(|(activation, problems)| match problems.is_empty() {
                        true => Ok(activation),
                        false => Err(format!("activation `{class}`: {}", problems.join(", "))),
                    }),
                (_, _) => Err(unknown()),
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => Err(unknown()),
    }
}

/// Reads a layer in place of a function.
fn layer(class: &str, config: &Map<String, Value>, dialect: Dialect) -> Option<(Activation, Vec<String>)> {
    let mut reader = Reader::new(dialect, config, &[], None);
    let activation = match class {
        "ReLU" => relu(&mut reader),
        "LeakyReLU" => leaky_relu(&mut reader),
        "ELU" => elu(&mut reader),
        "ThresholdedReLU" => thresholded_relu(&mut reader),
        "Softmax" => {
            let activation = softmax(&mut reader);
            if activation != (Activation::Softmax { axis: -1 }) {
                reader.fault("`axis` is supported only as -1 here");
            }
            activation
        }
        "Activation" => reader.activation(),
        _ => return None,
    };
    Some((activation, reader.finish().problems))
}

/// Names and constants as in `keras/src/activations/activations.py` and, for Keras 2, `activations.py`.
fn by_name(name: &str, dialect: Dialect) -> Option<Activation> {
    Some(match name {
        "linear" => Activation::Linear,
        "relu" => Activation::RELU,
        "relu6" => Activation::Relu { max_value: Some(6.0), negative_slope: 0.0, threshold: 0.0 },
        "leaky_relu" => Activation::Relu { max_value: None, negative_slope: 0.2, threshold: 0.0 },
        "softmax" => Activation::Softmax { axis: -1 },
        "sigmoid" => Activation::Sigmoid,
        "tanh" => Activation::Tanh,
        "elu" => Activation::Elu { alpha: 1.0 },
        "selu" => Activation::Selu,
        "softplus" => Activation::Softplus,
        "softsign" => Activation::Softsign,
        "swish" | "silu" => Activation::Swish,
        "gelu" => Activation::Gelu { approximate: false },
        "hard_sigmoid" => Activation::HardSigmoid {
            slope: match dialect {
                Dialect::Keras2 => 0.2,
                Dialect::Keras3 => 1.0 / 6.0,
            },
        },
        "hard_swish" | "hard_silu" => Activation::HardSwish,
        "exponential" => Activation::Exponential,
        "mish" => Activation::Mish,
        "log_softmax" => Activation::LogSoftmax { axis: -1 },
        _ => {
            let new = by_new_name(name).filter(|_| dialect == Dialect::Keras3);
            return new.or_else(|| libraries::activation(name));
        }
    })
}

/// Functions that only Keras 3 has, with its defaults.
fn by_new_name(name: &str) -> Option<Activation> {
    Some(match name {
        "celu" => Activation::Celu { alpha: 1.0 },
        "glu" => Activation::Glu { axis: -1 },
        "hard_shrink" => Activation::HardShrink { threshold: 0.5 },
        "hard_tanh" => Activation::HardTanh,
        "log_sigmoid" => Activation::LogSigmoid,
        "soft_shrink" => Activation::SoftShrink { threshold: 0.5 },
        "sparse_plus" => Activation::SparsePlus,
        "sparse_sigmoid" => Activation::SparseSigmoid,
        "sparsemax" => Activation::Sparsemax { axis: -1 },
        "squareplus" => Activation::Squareplus { b: 4.0 },
        "tanh_shrink" => Activation::TanhShrink,
        _ => return None,
    })
}
