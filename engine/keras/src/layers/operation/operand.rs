//! Operands of operations: inputs, and numbers.

use std::sync::Arc;

use model::{Builder, Fault, Tensor, Value};

use crate::json::{number, plain, shown};
use crate::reader::{Reader, input_number};

/// An operand of an operation.
#[derive(Debug, Clone)]
pub enum Operand {
    /// One of the node's inputs, by its number.
    Input(usize),
    /// A constant. Its axes align with the last axes of the input, as in NumPy's broadcasting.
    Constant(Tensor),
}

impl Operand {
    /// The value of this operand of a call on these inputs.
    pub(in crate::layers) fn lower(&self, builder: &mut Builder, inputs: &[Value]) -> Result<Value, Fault> {
        match self {
            Self::Input(index) => {
                inputs.get(*index).copied().ok_or_else(|| "it is called on too few inputs".into())
            }
            Self::Constant(tensor) => builder.constant(tensor),
        }
    }
}

/// Reads an operand: an input, or numbers.
pub(in crate::layers) fn operand(reader: &mut Reader, value: Option<&serde_json::Value>) -> Operand {
    let nothing = Operand::Constant(Tensor::scalar(0.0));
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
pub(in crate::layers) fn flatten(
    value: &serde_json::Value,
    depth: usize,
    shape: &mut Vec<usize>,
    values: &mut Vec<f32>,
) -> bool {
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
