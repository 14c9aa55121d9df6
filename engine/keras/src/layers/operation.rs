//! Operations outside of layers. Their classes are such as `tf.math.multiply` (Keras 2) or `ops.Multiply` (Keras 3), and the
//! arguments of the call are among their settings.

use std::sync::Arc;

use serde_json::Value;

use crate::Tensor;
use crate::architecture::{ARGUMENTS, CONSTANT_CLASS};
use crate::layers::{
    Activation, Arithmetic, ArithmeticKind, Layer, MergeKind, Operand, Reduction, ReductionKind, activation,
};
use crate::layers::{normalization, slicing};
use crate::reader::{Reader, input_number, number, plain, shown};
use crate::shapes::axis_after_batch;

mod elementwise;
mod images;
mod products;
mod rearranging;

pub use self::elementwise::{Comparison, ComparisonKind, Function, Select};
pub use self::images::Patches;
pub use self::products::MatrixProduct;
pub use self::rearranging::{Gather, Pad, PadMode};

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
        .or_else(|| products::operation(class, reader))
        .or_else(|| images::operation(class, reader))
        .or_else(|| normalization::normalized(class, reader));
    if elsewhere.is_some() {
        return elsewhere;
    }
    Some(match class {
        "tf.__operators__.add" | "tf.math.add" | "ops.Add" => arithmetic(reader, ArithmeticKind::Add),
        "tf.math.subtract" | "ops.Subtract" => arithmetic(reader, ArithmeticKind::Subtract),
        "tf.math.multiply" | "ops.Multiply" => arithmetic(reader, ArithmeticKind::Multiply),
        "tf.math.truediv" | "tf.math.divide" | "ops.TrueDivide" | "ops.Divide" => {
            arithmetic(reader, ArithmeticKind::Divide)
        }
        "tf.math.pow" | "ops.Power" => arithmetic(reader, ArithmeticKind::Power),
        "tf.math.maximum" | "ops.Maximum" => arithmetic(reader, ArithmeticKind::Maximum),
        "tf.math.minimum" | "ops.Minimum" => arithmetic(reader, ArithmeticKind::Minimum),
        "tf.math.squared_difference" => arithmetic(reader, ArithmeticKind::SquaredDifference),
        "tf.nn.bias_add" => bias_add(reader),
        "tf.math.negative" | "ops.Negative" => negative(reader),

        "tf.math.reduce_mean" | "ops.Mean" => reduction(reader, ReductionKind::Mean),
        "tf.math.reduce_sum" | "ops.Sum" => reduction(reader, ReductionKind::Sum),
        "tf.math.reduce_max" | "ops.Max" | "ops.Amax" => reduction(reader, ReductionKind::Max),
        "tf.math.reduce_min" | "ops.Min" | "ops.Amin" => reduction(reader, ReductionKind::Min),
        "tf.math.reduce_prod" | "ops.Prod" => reduction(reader, ReductionKind::Product),
        "tf.math.reduce_variance" | "ops.Var" => reduction(reader, ReductionKind::Variance),
        "tf.math.reduce_std" | "ops.Std" => reduction(reader, ReductionKind::Std),
        "tf.math.reduce_logsumexp" | "ops.Logsumexp" => reduction(reader, ReductionKind::LogSumExp),
        "tf.math.reduce_euclidean_norm" => reduction(reader, ReductionKind::EuclideanNorm),
        "tf.nn.moments" | "ops.Moments" => moments(reader),

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

fn arithmetic(reader: &mut Reader, kind: ArithmeticKind) -> Layer {
    // The second operand is given by position, or as `y` or `x2`.
    let left = reader.argument(0, &["x", "x1"]);
    let right = reader.argument(1, &["y", "x2"]);
    Layer::Arithmetic(Arithmetic { kind, left: operand(reader, left), right: operand(reader, right) })
}

fn bias_add(reader: &mut Reader) -> Layer {
    if let Some(format) = reader.value("data_format").filter(|format| *format != "NHWC") {
        reader.fault(format!("`data_format` is {}, expected \"NHWC\"", shown(format)));
    }
    reader.subject();
    let bias = reader.argument(1, &["bias"]);
    let (left, right) = (Operand::Input(0), operand(reader, bias));
    Layer::Arithmetic(Arithmetic { kind: ArithmeticKind::Add, left, right })
}

fn negative(reader: &mut Reader) -> Layer {
    reader.subject();
    let minus_one = Tensor { shape: Vec::new(), values: Arc::from([-1.0]) };
    let (left, right) = (Operand::Input(0), Operand::Constant(minus_one));
    Layer::Arithmetic(Arithmetic { kind: ArithmeticKind::Multiply, left, right })
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

/// Mean and variance.
fn moments(reader: &mut Reader) -> Layer {
    for key in ["shift", "synchronized"] {
        reader.unset(key);
    }
    Layer::MultiOutput(
        [ReductionKind::Mean, ReductionKind::Variance].map(|kind| reduction(reader, kind)).into(),
    )
}

fn reduction(reader: &mut Reader, kind: ReductionKind) -> Layer {
    reader.subject();
    let keep_dims = reader.flag_or("keepdims", false);
    for key in ["initial", "where"] {
        reader.unset(key);
    }
    let axes = reader.integers("axis").or_else(|| reader.integers("axes"));
    let mut after_batch = Vec::new();
    if let Some(input) = reader.input() {
        let all = 1..=i64::try_from(input.len()).unwrap_or(i64::MAX);
        if axes.is_none() {
            reader.fault("it reduces the batch too, expected `axis` to name axes after it");
        }
        for axis in axes.unwrap_or_else(|| all.collect()) {
            match axis_after_batch(axis, input) {
                Ok(axis) => after_batch.push(axis),
                Err(problem) => reader.fault(problem),
            }
        }
    }
    after_batch.sort_unstable();
    after_batch.dedup();
    Layer::Reduction(Reduction { kind, axes: after_batch, keep_dims })
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
    match target {
        Some(target) => Layer::Reshape { target },
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

/// Reads an operand: an input, or numbers.
pub(super) fn operand(reader: &mut Reader, value: Option<&Value>) -> Operand {
    let nothing = Operand::Constant(Tensor { shape: Vec::new(), values: Arc::from([0.0]) });
    let Some(value) = value else {
        reader.fault("it has one operand, expected two");
        return nothing;
    };
    if let Some(input) = input_number(value) {
        return Operand::Input(input);
    }
    let mut shape = Vec::new();
    let mut values = Vec::new();
    if !flatten(plain(value), 0, &mut shape, &mut values) {
        reader.fault(format!("its operand is {}, expected numbers", shown(value)));
        return nothing;
    }
    Operand::Constant(Tensor { shape, values: Arc::from(values) })
}

/// Flattens numbers in nested lists of equal lengths, in row-major order. Returns false where they are not such.
pub(super) fn flatten(value: &Value, depth: usize, shape: &mut Vec<usize>, values: &mut Vec<f32>) -> bool {
    /// NumPy's limit.
    const MAX_DEPTH: usize = 32;
    let Some(list) = value.as_array() else {
        let Some(number) = number(value).filter(|_| depth == shape.len()) else { return false };
        values.push(number);
        return true;
    };
    match shape.get(depth) {
        // A list deeper than the first one's numbers.
        None if !values.is_empty() || depth == MAX_DEPTH => return false,
        None => shape.push(list.len()),
        Some(length) if *length != list.len() => return false,
        Some(_) => {}
    }
    !list.is_empty() && list.iter().all(|value| flatten(value, depth + 1, shape, values))
}
