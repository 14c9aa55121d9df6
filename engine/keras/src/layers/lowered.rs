//! Lowers single layers in tests.

use model::{Builder, Fault, Shape, Size, Value};

/// Checks the text of what is made of a call on inputs of these shapes, such as "4, ?, 3" or "batch * 2, 3". Inputs after
/// the first are values that nothing is known of but their shapes.
pub(super) fn check(
    inputs: &[&str],
    lower: impl FnOnce(&mut Builder, &[Value]) -> Result<Value, Fault>,
    expected: &str,
) {
    let text = text(inputs, lower);
    let lines = |text: &str| text.trim().lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>();
    assert_eq!(lines(&text), lines(expected), "{text}");
}

/// The text of what is made of a call on inputs of these shapes.
pub(super) fn text(
    inputs: &[&str],
    lower: impl FnOnce(&mut Builder, &[Value]) -> Result<Value, Fault>,
) -> String {
    let (mut builder, inputs) = called_on(inputs);
    let output = lower(&mut builder, &inputs).expect("the layer can be lowered");
    builder.finish(vec![output]).expect("the graph has an input").to_string()
}

/// What is wrong with a call on inputs of these shapes.
pub(super) fn fault(
    inputs: &[&str],
    lower: impl FnOnce(&mut Builder, &[Value]) -> Result<Value, Fault>,
) -> String {
    let (mut builder, inputs) = called_on(inputs);
    match lower(&mut builder, &inputs) {
        Ok(output) => panic!("lowered to {}", builder.shape(output)),
        Err(Fault(sentence)) => sentence,
    }
}

fn called_on(inputs: &[&str]) -> (Builder, Vec<Value>) {
    let mut builder = Builder::new();
    let mut values = Vec::new();
    for input in inputs {
        let value = match values.first() {
            None => builder.input(shape(input)),
            Some(first) => builder.unresolved(&[*first], shape(input)),
        };
        values.push(value.expect("any shape will do"));
    }
    (builder, values)
}

fn shape(text: &str) -> Shape {
    let size = |text: &str| match (text, text.strip_prefix("batch * ")) {
        ("?", _) => Size::Open,
        (_, Some(rows)) => Size::Batch(rows.parse().expect("a number of rows")),
        (size, None) => Size::Known(size.parse().expect("a size")),
    };
    let sizes: Vec<Size> = text.split(", ").filter(|text| !text.is_empty()).map(size).collect();
    match sizes.first() {
        Some(Size::Batch(_)) => Shape(sizes),
        Some(_) | None => Shape::batched(sizes),
    }
}
