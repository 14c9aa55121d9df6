//! Slices such as `x[:, 1:, ..., 0]`.

use serde_json::Value;

use crate::layers::Layer;
use crate::reader::{Reader, shown};
use crate::shapes::Shape;

/// The part of a slice for one axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `start:stop:step`, with Python's meaning of missing and negative numbers.
    Range {
        /// First element.
        start: Option<i64>,
        /// The one after the last.
        stop: Option<i64>,
        /// Never 0.
        step: i64,
    },
    /// One element. The axis is dropped.
    At(i64),
    /// A new axis of size 1.
    NewAxis,
}

impl Part {
    /// The whole axis.
    pub const WHOLE: Self = Self::Range { start: None, stop: None, step: 1 };
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

fn parts(items: &[&Value], input: &Shape) -> Result<Vec<Part>, String> {
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
            (step != 0).then_some(Part::Range { start: bound("start")?, stop: bound("stop")?, step })
        }
        Value::Bool(_) | Value::String(_) | Value::Array(_) => None,
    }
}
