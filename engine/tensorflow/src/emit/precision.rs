//! Which primitives compute in bfloat16 between convolutions that do. All others compute in float32.

use tensorflow::DataType;

use super::Operand;
use crate::ops::{Fault, Ops, type_of};
use model::{Binary, Op, PadMode, Unary};

/// Casts the inputs to a type that the primitive computes in.
pub(super) fn inputs<'a>(
    ops: &mut Ops,
    op: &Op,
    operands: Vec<Operand<'a>>,
) -> Result<Vec<Operand<'a>>, Fault> {
    let alike = operands.windows(2).all(|pair| type_of(&pair[0].output) == type_of(&pair[1].output));
    if alike && keeps_precision(op) {
        return numbers(ops, operands);
    }
    let is_select = matches!(op, Op::Select);
    let cast = |(index, operand): (usize, Operand<'a>)| {
        // TensorFlow selects by truth values.
        if is_select && index == 0 && type_of(&operand.output) == DataType::Bool {
            return Ok(operand);
        }
        Ok(Operand { output: ops.cast(&operand.output, DataType::Float)?, ..operand })
    };
    operands.into_iter().enumerate().map(cast).collect()
}

/// Makes float32 of truth values, and keeps all numbers as they are.
pub(super) fn numbers<'a>(ops: &mut Ops, operands: Vec<Operand<'a>>) -> Result<Vec<Operand<'a>>, Fault> {
    let cast = |operand: Operand<'a>| {
        if type_of(&operand.output) != DataType::Bool {
            return Ok(operand);
        }
        Ok(Operand { output: ops.cast(&operand.output, DataType::Float)?, ..operand })
    };
    operands.into_iter().map(cast).collect()
}

/// Returns whether the primitive loses nothing in bfloat16 beyond one rounding, since it moves values, compares them or
/// adds few. A mean over an image adds many. Convolutions choose their type themselves.
fn keeps_precision(op: &Op) -> bool {
    matches!(
        op,
        Op::Unary(Unary::Relu | Unary::Relu6 | Unary::LeakyRelu { .. })
            | Op::Pool { .. }
            | Op::Pad { mode: PadMode::Constant(0.0), .. }
            | Op::Binary(Binary::Add)
            | Op::Concatenate { .. }
    )
}
