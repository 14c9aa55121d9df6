//! Operations outside of layers. Their classes are such as `tf.math.multiply` (Keras 2) or `ops.Multiply` (Keras 3), and the
//! arguments of the call are among their settings.

use serde_json::Value;

use crate::architecture::{ARGUMENTS, CONSTANT_CLASS};
use crate::json::shown;
use crate::layers::{Activation, Layer, MergeKind, activation, normalization, slicing};
use crate::reader::Reader;

mod arithmetic;
mod elementwise;
mod images;
mod operand;
mod products;
mod rearranging;
mod reduction;

pub use self::arithmetic::Arithmetic;
pub use self::elementwise::{Comparison, Select};
pub use self::images::Patches;
pub use self::operand::Operand;
pub(super) use self::operand::{flatten, operand};
pub use self::products::MatrixProduct;
pub use self::rearranging::{Gather, Pad};
pub use self::reduction::{Reduction, ReductionKind};

/// Reads an operation. Returns `None` where it is not supported.
pub(super) fn operation(class: &str, reader: &mut Reader) -> Option<Layer> {
    reader.ignore(&[ARGUMENTS, "function"]);
    let layer = by_class(class, reader)?;
    reader.no_more_arguments();
    Some(layer)
}

fn by_class(class: &str, reader: &mut Reader) -> Option<Layer> {
    if class == CONSTANT_CLASS {
        return Some(rearranging::constant(reader));
    }
    let elsewhere = rearranging::operation(class, reader)
        .or_else(|| elementwise::operation(class, reader))
        .or_else(|| arithmetic::operation(class, reader))
        .or_else(|| reduction::operation(class, reader))
        .or_else(|| products::operation(class, reader))
        .or_else(|| images::operation(class, reader))
        .or_else(|| normalization::normalized(class, reader));
    if elsewhere.is_some() {
        return elsewhere;
    }
    Some(match class {
        "tf.__operators__.getitem" | "ops.GetItem" => {
            reader.subject();
            slicing::slice(reader)
        }
        "tf.concat" | "ops.Concatenate" => {
            reader.subjects();
            Layer::Concatenate { axis: reader.integer_or("axis", if class == "tf.concat" { 0 } else { -1 }) }
        }
        "tf.stack" | "ops.Stack" => {
            reader.subjects();
            Layer::Stack { axis: reader.integer_or("axis", 0) }
        }
        "tf.math.add_n" => {
            reader.subjects();
            Layer::Merge(MergeKind::Add)
        }
        "tf.reshape" | "ops.Reshape" => reshape(reader),
        "tf.compat.v1.transpose" | "tf.transpose" | "ops.Transpose" => transpose(reader),
        "tf.cast" | "ops.Cast" | "tf.image.convert_image_dtype" => cast(reader),
        "tf.identity" | "ops.StopGradient" | "tf.stop_gradient" => {
            reader.subject();
            Layer::Identity
        }

        "tf.nn.softmax" | "ops.Softmax" => {
            reader.subject();
            Layer::Activation(Activation::Softmax { axis: reader.integer_or("axis", -1) })
        }
        "tf.nn.gelu" | "ops.Gelu" => gelu(reader),
        "tf.nn.leaky_relu" | "ops.LeakyRelu" => leaky_relu(reader),
        "tf.nn.elu" | "ops.Elu" => {
            reader.subject();
            Layer::Activation(Activation::Elu { alpha: reader.number_or("alpha", 1.0) })
        }
        other => {
            let function = Value::from(function(other)?);
            reader.subject();
            Layer::Activation(activation::parse(&function, reader.dialect).ok()?)
        }
    })
}

/// The name of the activation function that an operation computes.
fn function(class: &str) -> Option<&'static str> {
    Some(match class {
        "tf.nn.relu" | "ops.Relu" => "relu",
        "tf.nn.relu6" | "ops.Relu6" => "relu6",
        "tf.math.sigmoid" | "tf.nn.sigmoid" | "tf.sigmoid" | "ops.Sigmoid" => "sigmoid",
        "tf.math.tanh" | "tf.nn.tanh" | "ops.Tanh" => "tanh",
        "tf.nn.silu" | "tf.nn.swish" | "ops.Silu" => "swish",
        "tf.nn.selu" | "ops.Selu" => "selu",
        "tf.math.softplus" | "tf.nn.softplus" | "ops.Softplus" => "softplus",
        "tf.nn.softsign" | "ops.Softsign" => "softsign",
        "tf.math.exp" | "tf.exp" | "ops.Exp" => "exponential",
        "ops.HardSigmoid" => "hard_sigmoid",
        "ops.HardSilu" => "hard_swish",
        _ => return None,
    })
}

fn gelu(reader: &mut Reader) -> Layer {
    reader.subject();
    // The two versions of Keras have different defaults.
    let approximate = reader.flag_or("approximate", reader.dialect == super::Dialect::Keras3);
    Layer::Activation(Activation::Gelu { approximate })
}

/// The two versions of Keras have different names for the slope, and the same default.
fn leaky_relu(reader: &mut Reader) -> Layer {
    reader.subject();
    let slope = reader.optional_number("alpha").or(reader.optional_number("negative_slope"));
    let negative_slope = slope.unwrap_or(0.2);
    Layer::Activation(Activation::Relu { max_value: None, negative_slope, threshold: 0.0 })
}

/// A cast to any float type changes nothing, since all values are float32 here.
fn cast(reader: &mut Reader) -> Layer {
    reader.subject();
    // For casts to integers only.
    reader.unset("saturate");
    if let Some(kind) = reader.argument(1, &["dtype"]).filter(|kind| {
        !kind.as_str().is_some_and(|kind| ["float16", "bfloat16", "float32", "float64"].contains(&kind))
    }) {
        reader.fault(format!("`dtype` is {}, expected floats such as \"float32\"", shown(kind)));
    }
    Layer::Identity
}

/// The batch is the first size of the new shape and has to stay. One other size may be -1 where the batch is null.
fn reshape(reader: &mut Reader) -> Layer {
    reader.subject();
    let sizes = reader.value("newshape").or_else(|| reader.value("shape"));
    // Keras 3 writes null for the batch.
    let sizes = sizes.and_then(Value::as_array).and_then(|sizes| sizes.split_first());
    let target = sizes.and_then(|(batch, rest)| {
        let rest: Vec<i64> = rest.iter().map(Value::as_i64).collect::<Option<_>>()?;
        let open = rest.iter().filter(|size| **size == -1).count();
        let most = usize::from(batch.is_null());
        let sound = rest.iter().all(|size| *size > 0 || *size == -1) && open <= most;
        (sound && (batch.is_null() || batch.as_i64() == Some(-1))).then_some(rest)
    });
    let fixed = |target: &[i64]| target.iter().map(|size| usize::try_from(*size).ok()).collect();
    match target {
        Some(target) => match fixed(&target) {
            Some(sizes) => Layer::Rows { sizes },
            None => Layer::Reshape { target },
        },
        None => {
            reader.fault("its new shape is not of the kind [-1, …], which keeps the batch");
            Layer::Identity
        }
    }
}

fn transpose(reader: &mut Reader) -> Layer {
    reader.subject();
    reader.unset("conjugate");
    let order = reader.integers("perm").or_else(|| reader.integers("axes")).unwrap_or_default();
    let order: Vec<usize> = order.into_iter().filter_map(|axis| usize::try_from(axis).ok()).collect();
    match order.split_first() {
        Some((0, rest)) => Layer::Permute { axes: rest.to_vec() },
        Some(_) | None => {
            reader.fault("its order of axes does not begin with the batch, expected one such as [0, 2, 1]");
            Layer::Identity
        }
    }
}
