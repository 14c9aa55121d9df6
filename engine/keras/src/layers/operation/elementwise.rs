//! Elementwise operations: functions, clipping, comparisons, `where`.

use model::{Binary, Builder, Fault, Tensor, Unary, Value};

use super::operand;
use crate::json::{number, shown};
use crate::layers::{Arithmetic, Layer, Operand};
use crate::reader::Reader;

/// [`Layer::Comparison`]: 1 where the comparison holds, else 0. Operands broadcast as in NumPy.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// Which comparison.
    pub kind: model::Comparison,
    /// First operand.
    pub left: Operand,
    /// Second operand.
    pub right: Operand,
}

impl Comparison {
    pub(crate) fn lower(&self, builder: &mut Builder, inputs: &[Value]) -> Result<Value, Fault> {
        let left = self.left.lower(builder, inputs)?;
        let right = self.right.lower(builder, inputs)?;
        builder.compare(self.kind, left, right)
    }
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

impl Select {
    pub(crate) fn lower(&self, builder: &mut Builder, inputs: &[Value]) -> Result<Value, Fault> {
        let condition = self.condition.lower(builder, inputs)?;
        let x1 = self.x1.lower(builder, inputs)?;
        let x2 = self.x2.lower(builder, inputs)?;
        builder.select(condition, x1, x2)
    }
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

fn function(class: &str) -> Option<Unary> {
    Some(match class {
        "tf.math.sqrt" | "tf.sqrt" | "ops.Sqrt" => Unary::Sqrt,
        "tf.math.rsqrt" | "ops.Rsqrt" => Unary::Rsqrt,
        "tf.math.square" | "tf.square" | "ops.Square" => Unary::Square,
        "tf.math.abs" | "tf.abs" | "ops.Absolute" | "ops.Abs" => Unary::Abs,
        "tf.math.log" | "ops.Log" => Unary::Log,
        "tf.math.log1p" | "ops.Log1p" => Unary::Log1p,
        "tf.math.expm1" | "ops.Expm1" => Unary::Expm1,
        "tf.math.reciprocal" | "ops.Reciprocal" => Unary::Reciprocal,
        "tf.math.sin" | "tf.sin" | "ops.Sin" => Unary::Sin,
        "tf.math.cos" | "tf.cos" | "ops.Cos" => Unary::Cos,
        "tf.math.floor" | "tf.floor" | "ops.Floor" => Unary::Floor,
        "tf.math.ceil" | "ops.Ceil" => Unary::Ceil,
        "tf.math.round" | "tf.round" | "ops.Round" => Unary::Round,
        "tf.math.sign" | "tf.sign" | "ops.Sign" => Unary::Sign,
        "tf.math.erf" | "ops.Erf" => Unary::Erf,
        "tf.math.negative" | "ops.Negative" => Unary::Negate,
        _ => return None,
    })
}

fn comparison(class: &str) -> Option<model::Comparison> {
    Some(match class {
        "tf.math.greater" | "ops.Greater" => model::Comparison::Greater,
        "tf.math.greater_equal" | "ops.GreaterEqual" => model::Comparison::GreaterEqual,
        "tf.math.less" | "ops.Less" => model::Comparison::Less,
        "tf.math.less_equal" | "ops.LessEqual" => model::Comparison::LessEqual,
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
        let (left, right) = (Operand::Input(0), Operand::Constant(Tensor::scalar(bound)));
        Layer::Arithmetic(Arithmetic { kind, left, right })
    };
    Layer::Sequential(vec![bound(Binary::Maximum, low), bound(Binary::Minimum, high)])
}

fn select(reader: &mut Reader) -> Layer {
    let condition = reader.argument(0, &["condition"]);
    let (x1, x2) = (reader.argument(1, &["x", "x1"]), reader.argument(2, &["y", "x2"]));
    let condition = operand(reader, condition);
    let (x1, x2) = (operand(reader, x1), operand(reader, x2));
    Layer::Select(Select { condition, x1, x2 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::lowered::check;

    #[test]
    fn a_comparison_is_a_condition() {
        let zero = || Operand::Constant(Tensor::scalar(0.0));
        let larger = Comparison { kind: model::Comparison::Greater, left: Operand::Input(0), right: zero() };
        let select = Select { condition: Operand::Input(1), x1: Operand::Input(0), x2: zero() };
        check(
            &["4, 3"],
            |builder, inputs| {
                let condition = larger.lower(builder, inputs)?;
                select.lower(builder, &[inputs[0], condition])
            },
            "
            %0 = input() : [batch, 4, 3]
            %1 = constant(0.0) : []
            %2 = greater(%0, %1) : [batch, 4, 3]
            %3 = select(%2, %0, %1) : [batch, 4, 3]
            outputs %3
            ",
        );
    }
}
