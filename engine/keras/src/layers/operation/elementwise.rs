//! Elementwise operations: functions, clipping, comparisons, `where`.

use std::sync::Arc;

use super::operand;
use crate::Tensor;
use crate::layers::{Arithmetic, ArithmeticKind, Layer, Operand};
use crate::reader::{Reader, number, shown};

/// [`Layer::Function`]: an elementwise function, named as in NumPy and TensorFlow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// `sqrt(x)`.
    Sqrt,
    /// `1 / sqrt(x)`.
    Rsqrt,
    /// `x²`.
    Square,
    /// `|x|`.
    Abs,
    /// `log(x)`.
    Log,
    /// `log(1 + x)`.
    Log1p,
    /// `exp(x) - 1`.
    Expm1,
    /// `1 / x`.
    Reciprocal,
    /// `sin(x)`.
    Sin,
    /// `cos(x)`.
    Cos,
    /// The largest whole number that is not greater.
    Floor,
    /// The smallest whole number that is not less.
    Ceil,
    /// The nearest whole number; of two equally near the even one.
    Round,
    /// -1, 0 or 1.
    Sign,
    /// The error function.
    Erf,
}

/// [`Layer::Comparison`]: 1 where the comparison holds, else 0. Operands broadcast as in NumPy.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// Which comparison.
    pub kind: ComparisonKind,
    /// First operand.
    pub left: Operand,
    /// Second operand.
    pub right: Operand,
}

/// The kinds of comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComparisonKind {
    /// `left > right`.
    Greater,
    /// `left >= right`.
    GreaterEqual,
    /// `left < right`.
    Less,
    /// `left <= right`.
    LessEqual,
}

/// [`Layer::Select`], the `where` of Keras: `x1` where the condition is not 0, else `x2`. Operands broadcast as in NumPy.
#[derive(Debug, Clone)]
pub struct Select {
    /// The condition.
    pub condition: Operand,
    /// Where it is not 0.
    pub x1: Operand,
    /// Where it is 0.
    pub x2: Operand,
}

/// Reads an operation of this family. Returns `None` for any other.
pub(super) fn operation(class: &str, reader: &mut Reader) -> Option<Layer> {
    if let Some(function) = function(class) {
        reader.subject();
        reader.unset("decimals");
        return Some(Layer::Function(function));
    }
    if let Some(kind) = comparison(class) {
        let (left, right) = (reader.argument(0, &["x", "x1"]), reader.argument(1, &["y", "x2"]));
        let (left, right) = (operand(reader, left), operand(reader, right));
        return Some(Layer::Comparison(Comparison { kind, left, right }));
    }
    Some(match class {
        "tf.clip_by_value" => clip(reader, ["clip_value_min", "clip_value_max"]),
        "ops.Clip" => clip(reader, ["x_min", "x_max"]),
        "tf.where" | "ops.Where" => select(reader),
        _ => return None,
    })
}

fn function(class: &str) -> Option<Function> {
    Some(match class {
        "tf.math.sqrt" | "tf.sqrt" | "ops.Sqrt" => Function::Sqrt,
        "tf.math.rsqrt" | "ops.Rsqrt" => Function::Rsqrt,
        "tf.math.square" | "tf.square" | "ops.Square" => Function::Square,
        "tf.math.abs" | "tf.abs" | "ops.Absolute" | "ops.Abs" => Function::Abs,
        "tf.math.log" | "ops.Log" => Function::Log,
        "tf.math.log1p" | "ops.Log1p" => Function::Log1p,
        "tf.math.expm1" | "ops.Expm1" => Function::Expm1,
        "tf.math.reciprocal" | "ops.Reciprocal" => Function::Reciprocal,
        "tf.math.sin" | "tf.sin" | "ops.Sin" => Function::Sin,
        "tf.math.cos" | "tf.cos" | "ops.Cos" => Function::Cos,
        "tf.math.floor" | "tf.floor" | "ops.Floor" => Function::Floor,
        "tf.math.ceil" | "ops.Ceil" => Function::Ceil,
        "tf.math.round" | "tf.round" | "ops.Round" => Function::Round,
        "tf.math.sign" | "tf.sign" | "ops.Sign" => Function::Sign,
        "tf.math.erf" | "ops.Erf" => Function::Erf,
        _ => return None,
    })
}

fn comparison(class: &str) -> Option<ComparisonKind> {
    Some(match class {
        "tf.math.greater" | "ops.Greater" => ComparisonKind::Greater,
        "tf.math.greater_equal" | "ops.GreaterEqual" => ComparisonKind::GreaterEqual,
        "tf.math.less" | "ops.Less" => ComparisonKind::Less,
        "tf.math.less_equal" | "ops.LessEqual" => ComparisonKind::LessEqual,
        _ => return None,
    })
}

/// Clips to two numbers.
fn clip(reader: &mut Reader, names: [&'static str; 2]) -> Layer {
    reader.subject();
    let [low, high] = [0, 1].map(|index: usize| {
        let value = reader.argument(index + 1, &[names[index]]);
        value.and_then(number).unwrap_or_else(|| {
            let found = value.map_or_else(|| "missing".to_owned(), shown);
            reader.fault(format!("`{}` is {found}, expected a number", names[index]));
            0.0
        })
    });
    // Which bound wins where the lower exceeds the upper depends on the backend.
    if low > high {
        reader.fault(format!("it bounds by {low} and {high}, expected the smaller first"));
    }
    let bound = |kind, bound: f32| {
        let bound = Tensor { shape: Vec::new(), values: Arc::from([bound]) };
        let (left, right) = (Operand::Input(0), Operand::Constant(bound));
        Layer::Arithmetic(Arithmetic { kind, left, right })
    };
    Layer::Sequential(vec![bound(ArithmeticKind::Maximum, low), bound(ArithmeticKind::Minimum, high)])
}

fn select(reader: &mut Reader) -> Layer {
    let condition = reader.argument(0, &["condition"]);
    let (x1, x2) = (reader.argument(1, &["x", "x1"]), reader.argument(2, &["y", "x2"]));
    let condition = operand(reader, condition);
    let (x1, x2) = (operand(reader, x1), operand(reader, x2));
    Layer::Select(Select { condition, x1, x2 })
}
