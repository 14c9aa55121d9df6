//! Einsum: `EinsumDense`, and the operation `einsum`.

use std::collections::HashMap;
use std::fmt;

use serde_json::Value;

use crate::architecture::Dialect;
use crate::layers::operation::operand;
use crate::layers::{Arithmetic, ArithmeticKind, Layer, Operand};
use crate::reader::{Reader, shown};
use crate::shapes::Shape;

/// [`Layer::Einsum`].
#[derive(Debug, Clone)]
pub struct Einsum {
    /// The equation.
    pub equation: Equation,
    /// One or two operands. The first axis of an input is its batch, as is the output's.
    pub operands: Vec<Operand>,
}

/// `abc,cd->abd`: the subscripts of each operand's axes and of the output's. Subscripts that the output lacks are summed
/// over. No operand has a subscript twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Equation {
    /// The subscripts of each operand.
    pub operands: Vec<Vec<char>>,
    /// The subscripts of the output.
    pub output: Vec<char>,
}

impl fmt::Display for Equation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operands: Vec<String> = self.operands.iter().map(|letters| letters.iter().collect()).collect();
        write!(f, "{}->{}", operands.join(","), self.output.iter().collect::<String>())
    }
}

/// An equation as it is written, with ellipses.
struct Written {
    operands: Vec<Term>,
    output: Term,
}

/// The subscripts of an operand, and the index of the ellipsis among them.
struct Term {
    letters: Vec<char>,
    dots: Option<usize>,
}

impl Equation {
    /// Parses an equation for operands with so many axes, counted with the batch; `None` for an operand whose axes are only
    /// those that the equation names. Replaces ellipses by subscripts.
    ///
    /// # Errors
    /// The equation is not valid or not supported; says why.
    fn parse(text: &str, axes: &[Option<usize>]) -> Result<Self, String> {
        let unsupported = |why: &str| format!("its equation is \"{text}\", {why}");
        let written =
            Written::parse(text).ok_or_else(|| unsupported("expected one such as \"abc,cd->abd\""))?;
        if written.operands.len() != axes.len() {
            return Err(unsupported(&format!("expected {} operands", axes.len())));
        }
        let used: Vec<char> = written.operands.iter().flat_map(|term| term.letters.clone()).collect();
        let mut spare = ('a'..='z').chain('A'..='Z').filter(|letter| !used.contains(letter));
        let mut elided: Option<Vec<char>> = None;
        let mut operands = Vec::new();
        for (term, axes) in written.operands.iter().zip(axes) {
            let named = term.letters.len();
            match (term.dots, axes) {
                (None, Some(axes)) if *axes != named => {
                    return Err(unsupported(&format!("but an operand has {axes} axes")));
                }
                (Some(_), None) => return Err(unsupported("expected no dots for its kernel")),
                (Some(_), Some(axes)) => {
                    let count = axes.checked_sub(named).ok_or_else(|| unsupported("which has more axes"))?;
                    let letters = elided.get_or_insert_with(|| spare.by_ref().take(count).collect());
                    if letters.len() != count {
                        return Err(unsupported("whose dots stand for different numbers of axes"));
                    }
                }
                (None, _) => {}
            }
            operands.push(term.with_dots_as(elided.as_deref().unwrap_or_default()));
        }
        let output = written.output.with_dots_as(elided.as_deref().unwrap_or_default());
        let equation = Self { operands, output };
        if equation.is_sound() { Ok(equation) } else { Err(unsupported("which is not supported")) }
    }

    /// Returns whether each subscript is once in a term, and each of the output in an operand.
    fn is_sound(&self) -> bool {
        let once = |term: &[char]| (1..term.len()).all(|index| !term[..index].contains(&term[index]));
        let known = |letter: &char| self.operands.iter().any(|term| term.contains(letter));
        self.operands.iter().chain([&self.output]).all(|term| once(term)) && self.output.iter().all(known)
    }

    /// Returns whether the batch is the first axis of these inputs and of the output, and no axis of a constant.
    fn keeps_batch(&self, operands: &[Operand]) -> bool {
        let Some(batch) = self.output.first() else { return false };
        operands.iter().zip(&self.operands).all(|(operand, term)| match operand {
            Operand::Input(_) => term.first() == Some(batch),
            Operand::Constant(_) => !term.contains(batch),
        })
    }
}

impl Written {
    fn parse(text: &str) -> Option<Self> {
        let text: String = text.chars().filter(|letter| !letter.is_whitespace()).collect();
        let (operands, output) = text.split_once("->")?;
        Some(Self {
            operands: operands.split(',').map(Term::parse).collect::<Option<_>>()?,
            output: Term::parse(output)?,
        })
    }
}

impl Term {
    fn parse(text: &str) -> Option<Self> {
        let (before, after) =
            text.split_once("...").map_or((text, None), |(before, after)| (before, Some(after)));
        let letters: Vec<char> = before.chars().chain(after.unwrap_or_default().chars()).collect();
        let dots = after.map(|_| before.chars().count());
        letters.iter().all(char::is_ascii_alphabetic).then_some(Self { letters, dots })
    }

    fn with_dots_as(&self, elided: &[char]) -> Vec<char> {
        let mut letters = self.letters.clone();
        if let Some(at) = self.dots {
            letters.splice(at..at, elided.iter().copied());
        }
        letters
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
        .and_then(|text| Equation::parse(text, &[Some(input.len() + 1), None]));
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
    let kernel: Shape = equation.operands[1].iter().map(|&letter| size(letter)).collect();
    if kernel.contains(&None) {
        reader.fault(format!("the sizes of its kernel in {equation} are not all known"));
    }
    let bias = bias_axes.map(|axes| {
        let letters: Vec<char> = axes.as_str().unwrap_or_default().chars().collect();
        let first = equation.output.iter().position(|letter| letters.contains(letter)).unwrap_or(0);
        let spread: Shape = equation.output[first..]
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
    if !equation.keeps_batch(&operands) {
        reader.fault(format!("its equation {equation} does not keep the batch as the first axis"));
    }
    let mut layers = vec![Layer::Einsum(Einsum { equation, operands })];
    if let Some(bias) = bias {
        let (left, right) = (Operand::Input(0), Operand::Constant(bias));
        layers.push(Layer::Arithmetic(Arithmetic { kind: ArithmeticKind::Add, left, right }));
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

fn output_sizes(reader: &mut Reader) -> Shape {
    let value = reader.value("output_shape");
    let list = value.map(|value| value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]));
    let positive = |size: &Value| usize::try_from(size.as_u64()?).ok().filter(|size| *size > 0);
    let size = |size: &Value| if size.is_null() { Some(None) } else { positive(size).map(Some) };
    let sizes: Option<Shape> = list.and_then(|list| list.iter().map(size).collect());
    sizes.unwrap_or_else(|| {
        let found = value.map_or_else(|| "missing".to_owned(), shown);
        reader.fault(format!("`output_shape` is {found}, expected sizes"));
        Shape::new()
    })
}

/// The size of each subscript of the input and the output, as far as known; `None` where the output has another number of
/// sizes than of subscripts, or other sizes than the input.
fn sizes_by_letter(
    equation: &Equation,
    text: &str,
    (input, output): (&Shape, &Shape),
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
    match equation
        .ok_or_else(|| "it has no equation".to_owned())
        .and_then(|text| Equation::parse(text, &axes))
    {
        Ok(equation) if equation.keeps_batch(&operands) => Layer::Einsum(Einsum { equation, operands }),
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
    use super::Equation;

    #[test]
    fn dots_become_letters_of_their_own() {
        let check = |text: &str, axes: &[Option<usize>], expected: Result<&str, &str>| {
            let found = Equation::parse(text, axes).map(|equation| equation.to_string());
            match (&found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(found), Err(part)) => assert!(found.contains(part), "{found}"),
                (_, _) => panic!("{text}: {found:?}"),
            }
        };
        check("abc,cd->abd", &[Some(3), None], Ok("abc,cd->abd"));
        check(" ab , bc -> ac ", &[Some(2), Some(2)], Ok("ab,bc->ac"));
        check("...x,xy->...y", &[Some(4), None], Ok("abcx,xy->abcy"));
        check("ab...,bc->ac...", &[Some(4), None], Ok("abde,bc->acde"));
        check("...ij,...jk->...ik", &[Some(3), Some(3)], Ok("aij,ajk->aik"));
        check("...ij,...jk->...ik", &[Some(3), Some(4)], Err("different numbers of axes"));
        check("...x,...y->...", &[Some(2), None], Err("no dots for its kernel"));
        check("abc,cd->abd", &[Some(4), None], Err("an operand has 4 axes"));
        check("aab,bc->ac", &[Some(3), None], Err("not supported"));
        check("ab,bc->ad", &[Some(2), None], Err("not supported"));
        check("ab,bc", &[Some(2), None], Err("expected one such as"));
        check("a1,bc->a", &[Some(2), None], Err("expected one such as"));
        check("ab,bc,cd->ad", &[Some(2), None], Err("expected 2 operands"));
    }
}
