//! Einsum: `EinsumDense`, and the operation `einsum`.

use std::collections::HashMap;

use model::{Binary, Builder, Equation, Fault};
use serde_json::Value;

use self::equation::{Written, keeps_batch, parse};
use crate::architecture::Dialect;
use crate::json::shown;
use crate::layers::operation::operand;
use crate::layers::{Arithmetic, Layer, Operand};
use crate::reader::Reader;
use crate::shapes::Sizes;

mod equation;

/// [`Layer::Einsum`].
#[derive(Debug, Clone)]
pub struct Einsum {
    /// The equation.
    pub equation: Equation,
    /// One or two operands. The first axis of an input is its batch, as is the output's.
    pub operands: Vec<Operand>,
}

impl Einsum {
    pub(crate) fn lower(
        &self,
        builder: &mut Builder,
        inputs: &[model::Value],
    ) -> Result<model::Value, Fault> {
        let operands = self.operands.iter().map(|operand| operand.lower(builder, inputs));
        let operands = operands.collect::<Result<Vec<_>, _>>()?;
        builder.einsum(&self.equation, &operands)
    }
}

/// Reads `EinsumDense`. Its `output_shape` lacks the batch and the axes of an ellipsis.
pub(super) fn einsum_dense(reader: &mut Reader) -> Layer {
    // Only quantized layers have it, whose `dtype` shows that as well.
    reader.ignore(&["quantization_config"]);
    reader.unset("gptq_unpacked_column_size");
    let text = reader.value("equation");
    let bias_axes = reader.value("bias_axes");
    let sizes = output_sizes(reader);
    let activation = reader.activation();
    let Some(input) = reader.input() else {
        reader.unsure();
        return Layer::Identity;
    };
    let equation = text
        .and_then(Value::as_str)
        .ok_or_else(|| "its config has no `equation`".to_owned())
        .and_then(|text| parse(text, &[Some(input.len() + 1), None]));
    let equation = match equation {
        Ok(equation) => equation,
        Err(problem) => {
            reader.fault(problem);
            return Layer::Identity;
        }
    };
    refuse_dots_behind(reader, text);
    let Some(by_letter) =
        sizes_by_letter(&equation, text.and_then(Value::as_str).unwrap_or_default(), (input, &sizes))
    else {
        reader.fault(format!(
            "`output_shape` is {sizes:?}, expected the sizes that {equation} gives its output"
        ));
        return Layer::Identity;
    };
    let size = |letter: char| by_letter.get(&letter).copied().flatten();
    let kernel: Sizes = equation.operands[1].iter().map(|&letter| size(letter)).collect();
    if kernel.contains(&None) {
        reader.fault(format!("the sizes of its kernel in {equation} are not all known"));
    }
    let bias = bias_axes.map(|axes| {
        let letters: Vec<char> = axes.as_str().unwrap_or_default().chars().collect();
        let first = equation.output.iter().position(|letter| letters.contains(letter)).unwrap_or(0);
        let spread: Sizes = equation.output[first..]
            .iter()
            .map(|letter| if letters.contains(letter) { size(*letter) } else { Some(1) })
            .collect();
        let known = letters.iter().all(|letter| equation.output.iter().skip(1).any(|known| known == letter));
        if letters.is_empty() || !known || spread.contains(&None) {
            reader
                .fault(format!("`bias_axes` is {}, expected axes of the output of {equation}", shown(axes)));
        }
        spread
    });
    let kernel = reader.weight(&["kernel"], &kernel);
    let bias = bias.map(|shape| reader.weight(&["bias"], &shape));
    let operands = vec![Operand::Input(0), Operand::Constant(kernel)];
    if !keeps_batch(&equation, &operands) {
        reader.fault(format!("its equation {equation} does not keep the batch as the first axis"));
    }
    let mut layers = vec![Layer::Einsum(Einsum { equation, operands })];
    if let Some(bias) = bias {
        let (left, right) = (Operand::Input(0), Operand::Constant(bias));
        layers.push(Layer::Arithmetic(Arithmetic { kind: Binary::Add, left, right }));
    }
    layers.push(Layer::Activation(activation));
    Layer::Sequential(layers)
}

/// Refuses an ellipsis after subscripts, for which Keras 3 does not compute the einsum.
fn refuse_dots_behind(reader: &mut Reader, equation: Option<&Value>) {
    let text = equation.and_then(Value::as_str).unwrap_or_default();
    let is_behind = |term: &str| term.trim().find("...").is_some_and(|at| at > 0);
    let mut terms = text.split("->").flat_map(|terms| terms.split(','));
    if reader.dialect == Dialect::Keras3 && terms.any(is_behind) {
        reader.fault(format!("its equation \"{text}\" has dots behind its letters, which is not supported"));
    }
}

fn output_sizes(reader: &mut Reader) -> Sizes {
    let value = reader.value("output_shape");
    let list = value.map(|value| value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]));
    let positive = |size: &Value| usize::try_from(size.as_u64()?).ok().filter(|size| *size > 0);
    let size = |size: &Value| if size.is_null() { Some(None) } else { positive(size).map(Some) };
    let sizes: Option<Sizes> = list.and_then(|list| list.iter().map(size).collect());
    sizes.unwrap_or_else(|| {
        let found = value.map_or_else(|| "missing".to_owned(), shown);
        reader.fault(format!("`output_shape` is {found}, expected sizes"));
        Sizes::new()
    })
}

/// The size of each subscript of the input and the output, as far as known; `None` where the output has another number of
/// sizes than of subscripts, or other sizes than the input.
fn sizes_by_letter(
    equation: &Equation,
    text: &str,
    (input, output): (&Sizes, &Sizes),
) -> Option<HashMap<char, Option<usize>>> {
    let of_input = equation.operands.first()?.iter().skip(1).copied().zip(input.iter().copied());
    let mut sizes: HashMap<char, Option<usize>> = of_input.collect();
    // The config has sizes for the written subscripts of the output, except the batch.
    let written = Written::parse(text)?.output.letters;
    let sized: Vec<char> =
        equation.output.iter().skip(1).copied().filter(|letter| written.contains(letter)).collect();
    if sized.len() != output.len() {
        return None;
    }
    for (letter, &size) in sized.into_iter().zip(output) {
        let known = sizes.entry(letter).or_insert(size);
        if known.zip(size).is_some_and(|(one, other)| one != other) {
            return None;
        }
    }
    Some(sizes)
}

/// Reads the operation `einsum`. Its equation is a setting, and its operands are the arguments by position.
pub(super) fn einsum(reader: &mut Reader) -> Layer {
    let text = reader.value("subscripts");
    let equation = text.and_then(Value::as_str);
    let (first, second) = (reader.argument(0, &[]), reader.argument(1, &[]));
    let mut operands = Vec::new();
    for value in [first, second].into_iter().flatten() {
        operands.push(operand(reader, Some(value)));
    }
    let inputs = reader.inputs();
    let axes: Option<Vec<Option<usize>>> = operands
        .iter()
        .map(|operand| match operand {
            Operand::Input(index) => inputs.get(*index)?.as_ref().map(|shape| Some(shape.len() + 1)),
            Operand::Constant(tensor) => Some(Some(tensor.shape.len())),
        })
        .collect();
    let Some(axes) = axes else {
        reader.unsure();
        return Layer::Identity;
    };
    refuse_dots_behind(reader, text);
    match equation.ok_or_else(|| "it has no equation".to_owned()).and_then(|text| parse(text, &axes)) {
        Ok(equation) if keeps_batch(&equation, &operands) => Layer::Einsum(Einsum { equation, operands }),
        Ok(equation) => {
            reader.fault(format!("its equation {equation} does not keep the batch as the first axis"));
            Layer::Identity
        }
        Err(problem) => {
            reader.fault(problem);
            Layer::Identity
        }
    }
}

#[cfg(test)]
mod tests {
    use model::Tensor;

    use super::*;
    use crate::layers::lowered::{check, fault};

    fn by(text: &str, operands: Vec<Operand>) -> Einsum {
        let axes = vec![None; operands.len()];
        Einsum { equation: parse(text, &axes).unwrap(), operands }
    }

    #[test]
    fn operands_are_inputs_and_kernels() {
        let kernel = Operand::Constant(Tensor::new(&[3, 2], [0.5; 6]));
        let by = by("abc,cd->abd", vec![Operand::Input(0), kernel]);
        check(
            &["4, 3"],
            |builder, inputs| by.lower(builder, inputs),
            "
            %0 = input() : [batch, 4, 3]
            %1 = constant(0.5, 0.5, 0.5, 0.5, 0.5, 0.5) : [3, 2]
            %2 = einsum(%0, %1, abc,cd->abd) : [batch, 4, 2]
            outputs %2
            ",
        );
    }

    #[test]
    fn equal_letters_have_equal_sizes() {
        let by = by("abc,abd->acd", vec![Operand::Input(0), Operand::Input(1)]);
        let check = |inputs: &[&str], expected: &str| {
            assert_eq!(fault(inputs, |builder, inputs| by.lower(builder, inputs)), expected);
        };
        check(&["4, 3", "5, 2"], "its equation is abc,abd->acd, but `b` has two sizes");
        check(&["4, 3", "5"], "its equation is abc,abd->acd, but an operand has shape [batch, 5]");
        check(&["4, 3"], "it is called on too few inputs");
    }
}
