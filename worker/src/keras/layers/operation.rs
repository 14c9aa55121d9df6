//! Operations: what a model computes without a layer. They come as classes `tf.math.multiply` (Keras 2) or
//! `ops.Multiply` (Keras 3), with the arguments of their call among the settings.

use std::sync::Arc;

use serde_json::Value;

use crate::keras::Tensor;
use crate::keras::architecture::{ARGUMENTS, INPUT};
use crate::keras::layers::slicing;
use crate::keras::layers::{
    Activation, Arithmetic, ArithmeticKind, Layer, Operand, Reduction, ReductionKind, activation,
};
use crate::keras::reader::{Reader, number, plain, shown};
use crate::keras::shapes::axis_after_batch;

/// Reads an operation; `None` where it is not supported.
pub(super) fn operation(class: &str, reader: &mut Reader) -> Option<Layer> {
    reader.ignore(&[ARGUMENTS, "function"]);
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
        "tf.nn.bias_add" => bias_add(reader),
        "tf.math.negative" | "ops.Negative" => negative(reader),

        "tf.math.reduce_mean" | "ops.Mean" => reduction(reader, ReductionKind::Mean),
        "tf.math.reduce_sum" | "ops.Sum" => reduction(reader, ReductionKind::Sum),
        "tf.math.reduce_max" | "ops.Max" => reduction(reader, ReductionKind::Max),
        "tf.math.reduce_min" | "ops.Min" => reduction(reader, ReductionKind::Min),

        "tf.__operators__.getitem" | "ops.GetItem" => slicing::slice(reader),
        "tf.concat" | "ops.Concatenate" => Layer::Concatenate { axis: reader.integer_or("axis", -1) },
        "tf.stack" | "ops.Stack" => Layer::Stack { axis: reader.integer_or("axis", 0) },
        "tf.reshape" | "ops.Reshape" => reshape(reader),
        "tf.compat.v1.transpose" | "tf.transpose" | "ops.Transpose" => transpose(reader),
        "tf.cast" | "ops.Cast" => Layer::Identity,
        "tf.identity" | "ops.StopGradient" | "tf.stop_gradient" => Layer::Identity,

        "tf.nn.softmax" | "ops.Softmax" => {
            Layer::Activation(Activation::Softmax { axis: reader.integer_or("axis", -1) })
        }
        "tf.nn.gelu" | "ops.Gelu" => gelu(reader),
        other => Layer::Activation(activation::parse(&Value::from(function(other)?), reader.dialect).ok()?),
    })
}

/// The function that activations know by this name.
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
        "tf.math.exp" | "ops.Exp" => "exponential",
        "ops.HardSigmoid" => "hard_sigmoid",
        "ops.HardSilu" => "hard_swish",
        _ => return None,
    })
}

fn arithmetic(reader: &mut Reader, kind: ArithmeticKind) -> Layer {
    // The second operand stands by position, or as `y`, or as `x2`.
    let left = argument(reader, 0, &["x", "x1"]);
    let right = argument(reader, 1, &["y", "x2"]);
    Layer::Arithmetic(Arithmetic { kind, left: operand(reader, left), right: operand(reader, right) })
}

fn bias_add(reader: &mut Reader) -> Layer {
    if let Some(format) = reader.value("data_format").filter(|format| *format != "NHWC") {
        reader.fault(format!("`data_format` is {}, expected \"NHWC\"", shown(format)));
    }
    let bias = argument(reader, 1, &["bias"]);
    let (left, right) = (Operand::Input(0), operand(reader, bias));
    Layer::Arithmetic(Arithmetic { kind: ArithmeticKind::Add, left, right })
}

fn negative(_reader: &mut Reader) -> Layer {
    let minus_one = Tensor { shape: Vec::new(), values: Arc::from([-1.0]) };
    let (left, right) = (Operand::Input(0), Operand::Constant(minus_one));
    Layer::Arithmetic(Arithmetic { kind: ArithmeticKind::Multiply, left, right })
}

fn gelu(reader: &mut Reader) -> Layer {
    // The two Kerases disagree about what is usual.
    let approximate = reader.flag_or("approximate", reader.dialect == super::Dialect::Keras3);
    Layer::Activation(Activation::Gelu { approximate })
}

fn reduction(reader: &mut Reader, kind: ReductionKind) -> Layer {
    let keep_dims = reader.flag_or("keepdims", false);
    for key in ["initial", "where"] {
        reader.unset(key);
    }
    let axes = reader.integers("axis");
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

/// The batch is the first size of the new shape, and has to stay.
fn reshape(reader: &mut Reader) -> Layer {
    let sizes = reader.value("newshape").or_else(|| reader.value("shape"));
    let sizes = sizes.and_then(|value| value.as_array()).map(|sizes| {
        // Where the model takes any size Keras 3 writes null.
        let size = |size: &Value| if size.is_null() { Some(-1) } else { size.as_i64() };
        sizes.iter().map(size).collect::<Option<Vec<i64>>>()
    });
    match sizes.flatten().as_deref() {
        Some([-1, target @ ..]) if target.iter().all(|size| *size > 0) => {
            Layer::Reshape { target: target.to_vec() }
        }
        Some(_) | None => {
            reader.fault("its new shape is not of the kind [-1, …], which keeps the batch");
            Layer::Identity
        }
    }
}

fn transpose(reader: &mut Reader) -> Layer {
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

/// The argument at a position, or under one of these names.
pub(super) fn argument<'a>(
    reader: &mut Reader<'a>,
    position: usize,
    names: &[&'static str],
) -> Option<&'a Value> {
    let by_position = reader.value(ARGUMENTS).and_then(|list| list.get(position));
    names.iter().fold(by_position, |found, name| found.or(reader.value(name)))
}

fn operand(reader: &mut Reader, value: Option<&Value>) -> Operand {
    let nothing = Operand::Constant(Tensor { shape: Vec::new(), values: Arc::from([0.0]) });
    let Some(value) = value else {
        reader.fault("it has one operand, expected two");
        return nothing;
    };
    if let Some(input) = value.get(INPUT).and_then(Value::as_u64) {
        return Operand::Input(usize::try_from(input).unwrap_or(usize::MAX));
    }
    let mut shape = Vec::new();
    let mut values = Vec::new();
    if !flatten(plain(value), 0, &mut shape, &mut values) {
        reader.fault(format!("its operand is {}, expected numbers", shown(value)));
        return nothing;
    }
    Operand::Constant(Tensor { shape, values: Arc::from(values) })
}

/// Numbers in nested lists of equal lengths, row by row; false where they are not.
pub(super) fn flatten(value: &Value, depth: usize, shape: &mut Vec<usize>, values: &mut Vec<f32>) -> bool {
    /// NumPy has no more axes.
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
