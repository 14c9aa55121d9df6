//! Slices such as `x[:, 1:, ..., 0]`, and values stacked along a new axis.

use model::{Builder, Fault, Range, Size};
use serde_json::Value;

use crate::json::shown;
use crate::layers::Layer;
use crate::reader::Reader;
use crate::shapes::{Sizes, after_batch, axis_after_batch};

/// The part of a slice for one axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Some elements.
    Range(Range),
    /// One element. The axis is dropped.
    At(i64),
    /// A new axis of size 1.
    NewAxis,
}

impl Part {
    /// The whole axis.
    pub const WHOLE: Self = Self::Range(Range::WHOLE);
}

/// Slices the axes that there are, and reshapes away those of one element and in the new ones.
pub(super) fn sliced(parts: &[Part], builder: &mut Builder, x: model::Value) -> Result<model::Value, Fault> {
    let input = builder.shape(x).clone();
    let mut ranges = vec![Range::WHOLE];
    for part in parts {
        match *part {
            Part::Range(range) => ranges.push(range),
            Part::At(index) => {
                if let Some(Size::Known(size)) = input.get(ranges.len())
                    && !contains(*size, index)
                {
                    return Err(Fault(format!(
                        "it takes element {index} out of an axis of {}",
                        input.described()
                    )));
                }
                // The element before the end has none behind it to stop at.
                let stop = if index == -1 { None } else { index.checked_add(1) };
                ranges.push(Range { start: Some(index), stop, step: 1 });
            }
            Part::NewAxis => {}
        }
    }
    let sliced = builder.slice(x, &ranges)?;
    let mut sizes = builder.shape(sliced).iter();
    let mut shape: Vec<Size> = sizes.by_ref().take(1).copied().collect();
    for part in parts {
        match part {
            Part::Range(_) => shape.extend(sizes.next()),
            Part::At(_) => drop(sizes.next()),
            Part::NewAxis => shape.push(Size::Known(1)),
        }
    }
    builder.reshape(sliced, model::Shape(shape))
}

/// Returns whether `index` is within an axis of this size. A negative index counts from the end.
fn contains(size: usize, index: i64) -> bool {
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    (-size..size).contains(&index)
}

/// Stacks the inputs along a new axis, which may be negative and counts the batch and itself.
pub(super) fn stacked(
    axis: i64,
    builder: &mut Builder,
    inputs: &[model::Value],
) -> Result<model::Value, Fault> {
    let Some((first, others)) = inputs.split_first() else {
        return Err("it is called on no inputs, expected at least 1".into());
    };
    let shape = builder.shape(*first).clone();
    if let Some(other) = others.iter().map(|other| builder.shape(*other)).find(|other| **other != shape) {
        return Err(Fault(format!(
            "its inputs have shapes {}, expected the same",
            model::Shape::described_all([&shape, other])
        )));
    }
    let wider: Sizes = after_batch(&shape).into_iter().chain([None]).collect();
    let axis = axis_after_batch(axis, &wider)? + 1;
    let widened = inputs.iter().map(|input| builder.expand(*input, axis)).collect::<Result<Vec<_>, _>>()?;
    builder.concatenate(&widened, axis)
}

/// The index is the second argument, or Keras 2's `slice_spec`.
pub(super) fn slice(reader: &mut Reader) -> Layer {
    let index = reader.argument(1, &["slice_spec", "key"]);
    let (Some(input), Some(index)) = (reader.input(), index) else {
        reader.unsure();
        return Layer::Identity;
    };
    let items = index.as_array().map_or_else(|| vec![index], |list| list.iter().collect());
    match parts(&items, input) {
        Ok(parts) => Layer::Slice { parts },
        Err(problem) => {
            reader.fault(format!("{problem}: {}", shown(index)));
            Layer::Identity
        }
    }
}

fn parts(items: &[&Value], input: &Sizes) -> Result<Vec<Part>, String> {
    let is_ellipsis = |item: &Value| item.get("class_name").is_some_and(|class| class == "__ellipsis__");
    let named = items.iter().filter(|item| !item.is_null() && !is_ellipsis(item)).count();
    let axes = input.len() + 1;
    let rest = axes.checked_sub(named).ok_or("it takes more axes apart than its input has")?;
    let mut parts = Vec::new();
    let mut seen_ellipsis = false;
    for item in items {
        if is_ellipsis(item) {
            if seen_ellipsis {
                return Err("it has two ellipses".to_owned());
            }
            seen_ellipsis = true;
            parts.extend(std::iter::repeat_n(Part::WHOLE, rest));
        } else {
            parts.push(
                part(item).ok_or_else(|| format!("it takes out {}, which is not supported", shown(item)))?,
            );
        }
    }
    if !seen_ellipsis {
        parts.extend(std::iter::repeat_n(Part::WHOLE, rest));
    }
    match parts.split_first() {
        Some((&Part::WHOLE, after_batch)) => Ok(after_batch.to_vec()),
        Some(_) | None => Err("it takes the batch apart".to_owned()),
    }
}

fn part(item: &Value) -> Option<Part> {
    match item {
        Value::Null => Some(Part::NewAxis),
        Value::Number(number) => number.as_i64().map(Part::At),
        Value::Object(object) => {
            let is_slice = object.get("class_name").is_some_and(|class| class == "__slice__");
            let bounds =
                object.get("config").filter(|_| is_slice).and_then(Value::as_object).unwrap_or(object);
            if !bounds.keys().all(|key| ["start", "stop", "step"].contains(&key.as_str())) {
                return None;
            }
            let bound = |key: &str| match bounds.get(key) {
                None | Some(Value::Null) => Some(None),
                Some(value) => value.as_i64().filter(|bound| i32::try_from(*bound).is_ok()).map(Some),
            };
            let step = bound("step")?.unwrap_or(1);
            let range = Range { start: bound("start")?, stop: bound("stop")?, step };
            (step != 0).then_some(Part::Range(range))
        }
        Value::Bool(_) | Value::String(_) | Value::Array(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::lowered::{check, fault};

    const fn between(start: i64, stop: i64) -> Part {
        Part::Range(Range { start: Some(start), stop: Some(stop), step: 1 })
    }

    fn check_slice(input: &str, parts: &[Part], expected: &str) {
        check(&[input], |builder, inputs| sliced(parts, builder, inputs[0]), expected);
    }

    #[test]
    fn axes_are_dropped_and_new_ones_made_after_the_slice() {
        check_slice(
            "6, 5, 4",
            &[Part::NewAxis, between(1, -1), Part::At(-1), Part::NewAxis, Part::WHOLE],
            "
            %0 = input() : [batch, 6, 5, 4]
            %1 = slice(%0, [:, 1:5, 4:5, :]) : [batch, 4, 1, 4]
            %2 = reshape(%1) : [batch, 1, 4, 1, 4]
            outputs %2
            ",
        );
        check_slice(
            "6, 5",
            &[Part::At(2), Part::Range(Range { step: -2, ..Range::WHOLE })],
            "
            %0 = input() : [batch, 6, 5]
            %1 = slice(%0, [:, 2:3, 4::-2]) : [batch, 1, 3]
            %2 = reshape(%1) : [batch, 3]
            outputs %2
            ",
        );
        check_slice("6, 5", &[Part::WHOLE, Part::WHOLE], "%0 = input() : [batch, 6, 5]\noutputs %0");
    }

    #[test]
    fn elements_of_an_open_axis_are_dropped_too() {
        check_slice(
            "?, 3",
            &[Part::At(-1), Part::WHOLE],
            "
            %0 = input() : [batch, ?, 3]
            %1 = slice(%0, [:, -1:, :]) : [batch, ?, 3]
            %2 = reshape(%1) : [batch, 3]
            outputs %2
            ",
        );
    }

    #[test]
    fn slices_beyond_their_input_are_faults() {
        let check = |parts: &[Part], expected: &str| {
            assert_eq!(fault(&["6, 5"], |builder, inputs| sliced(parts, builder, inputs[0])), expected);
        };
        check(&[Part::At(6), Part::WHOLE], "it takes element 6 out of an axis of [6, 5]");
        check(&[Part::WHOLE, Part::At(-6)], "it takes element -6 out of an axis of [6, 5]");
        check(&[between(4, 4), Part::WHOLE], "it takes nothing out of an axis of [6, 5]");
        check(&[Part::WHOLE; 3], "its input has shape [6, 5], expected more axes");
        check(&[Part::WHOLE, Part::NewAxis], "its input has shape [6, 5], expected fewer axes");
    }

    #[test]
    fn stacked_values_lie_along_a_new_axis() {
        for axis in [2, -2] {
            check(
                &["4, 3", "4, 3"],
                |builder, inputs| stacked(axis, builder, inputs),
                "
                %0 = input() : [batch, 4, 3]
                %1 = unresolved(%0) : [batch, 4, 3]
                %2 = reshape(%0) : [batch, 4, 1, 3]
                %3 = reshape(%1) : [batch, 4, 1, 3]
                %4 = concatenate(%2, %3, axis 2) : [batch, 4, 2, 3]
                outputs %4
                ",
            );
        }
        let check = |inputs: &[&str], axis, expected: &str| {
            assert_eq!(fault(inputs, |builder, inputs| stacked(axis, builder, inputs)), expected);
        };
        check(&["4, 3", "4, 2"], 1, "its inputs have shapes [4, 3] and [4, 2], expected the same");
        check(&["4"], 0, "`axis` is 0, expected an axis of its input, [4, ?] after the batch");
        check(&["4"], 3, "`axis` is 3, expected an axis of its input, [4, ?] after the batch");
        check(&[], 1, "it is called on no inputs, expected at least 1");
    }
}
