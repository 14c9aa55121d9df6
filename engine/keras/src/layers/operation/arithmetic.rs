//! Operations on two operands, element by element.

use model::{Binary, Builder, Fault, Value};

use super::{Operand, operand};
use crate::json::shown;
use crate::layers::Layer;
use crate::reader::Reader;

/// [`Layer::Arithmetic`]. Operands broadcast as in NumPy.
#[derive(Debug, Clone)]
pub struct Arithmetic {
    /// Which operation.
    pub kind: Binary,
    /// First operand.
    pub left: Operand,
    /// Second operand.
    pub right: Operand,
}

impl Arithmetic {
    pub(crate) fn lower(&self, builder: &mut Builder, inputs: &[Value]) -> Result<Value, Fault> {
        let left = self.left.lower(builder, inputs)?;
        let right = self.right.lower(builder, inputs)?;
        builder.binary(self.kind, left, right)
    }
}

/// Reads an operation of this family. Returns `None` for any other.
pub(super) fn operation(class: &str, reader: &mut Reader) -> Option<Layer> {
    let kind = match class {
        "tf.__operators__.add" | "tf.math.add" | "ops.Add" => Binary::Add,
        "tf.math.subtract" | "ops.Subtract" => Binary::Subtract,
        "tf.math.multiply" | "ops.Multiply" => Binary::Multiply,
        "tf.math.truediv" | "tf.math.divide" | "ops.TrueDivide" | "ops.Divide" => Binary::Divide,
        "tf.math.pow" | "ops.Power" => Binary::Power,
        "tf.math.maximum" | "ops.Maximum" => Binary::Maximum,
        "tf.math.minimum" | "ops.Minimum" => Binary::Minimum,
        "tf.math.squared_difference" => Binary::SquaredDifference,
        "tf.nn.bias_add" => return Some(bias_add(reader)),
        _ => return None,
    };
    // The second operand is given by position, or as `y` or `x2`.
    let left = reader.argument(0, &["x", "x1"]);
    let right = reader.argument(1, &["y", "x2"]);
    let (left, right) = (operand(reader, left), operand(reader, right));
    Some(Layer::Arithmetic(Arithmetic { kind, left, right }))
}

fn bias_add(reader: &mut Reader) -> Layer {
    if let Some(format) = reader.value("data_format").filter(|format| *format != "NHWC") {
        reader.fault(format!("`data_format` is {}, expected \"NHWC\"", shown(format)));
    }
    reader.subject();
    let bias = reader.argument(1, &["bias"]);
    let (left, right) = (Operand::Input(0), operand(reader, bias));
    Layer::Arithmetic(Arithmetic { kind: Binary::Add, left, right })
}

#[cfg(test)]
mod tests {
    use model::Tensor;

    use super::*;
    use crate::layers::lowered::{check, fault};

    #[test]
    fn operands_are_inputs_or_numbers_in_the_order_of_the_call() {
        let left = Operand::Constant(Tensor::vector([1.0, 2.0]));
        let by = Arithmetic { kind: Binary::Subtract, left, right: Operand::Input(0) };
        check(
            &["3, 2"],
            |builder, inputs| by.lower(builder, inputs),
            "
            %0 = input() : [batch, 3, 2]
            %1 = constant(1.0, 2.0) : [2]
            %2 = subtract(%1, %0) : [batch, 3, 2]
            outputs %2
            ",
        );
    }

    #[test]
    fn no_operand_moves_the_batch() {
        let by = |left, right| Arithmetic { kind: Binary::Add, left, right };
        let check = |by: Arithmetic, inputs: &[&str], expected: &str| {
            assert_eq!(fault(inputs, |builder, inputs| by.lower(builder, inputs)), expected);
        };
        let misfit = "its operands have shapes [batch, 3, 2] and [batch, 2], which do not fit";
        check(by(Operand::Input(0), Operand::Input(1)), &["3, 2", "2"], misfit);
        let constant = Operand::Constant(Tensor::new(&[4, 1], [0.0; 4]));
        let misfit = "its operands have shapes [batch, 2] and [4, 1], which do not fit";
        check(by(Operand::Input(0), constant), &["2"], misfit);
        check(by(Operand::Input(0), Operand::Input(1)), &["2"], "it is called on too few inputs");
    }
}
