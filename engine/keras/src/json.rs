//! Numbers and sizes as Keras writes them in JSON.

use serde_json::Value;

use super::shapes::Sizes;

/// Largest size, count or stride that a config may name.
pub(super) const MAX_SIZE: u64 = 1 << 31;

/// Parses a positive whole number.
pub(super) fn size(value: &Value) -> Option<usize> {
    let size = value.as_u64().filter(|size| (1..=MAX_SIZE).contains(size))?;
    usize::try_from(size).ok()
}

/// Parses a number, plain or a NumPy scalar.
pub(super) fn number(value: &Value) -> Option<f32> {
    #[expect(clippy::cast_possible_truncation, reason = "the model computes in float32")]
    plain(value).as_f64().map(|number| number as f32).filter(|number| number.is_finite())
}

/// Unwraps NumPy values: `{"class_name": "__numpy__", "config": {"value": …}}` (since Keras 2.13) and
/// `{"type": "ndarray", "value": …}` (before).
pub(super) fn plain(value: &Value) -> &Value {
    let Some(object) = value.as_object() else { return value };
    let inner = match object.get("class_name").and_then(Value::as_str) {
        Some("__numpy__" | "__tensor__") => object.get("config").and_then(|config| config.get("value")),
        Some(_) => None,
        None => object.get("value").filter(|_| object.get("type").is_some_and(|kind| kind == "ndarray")),
    };
    inner.unwrap_or(value)
}

/// Shows a value as it is in the file, truncated where it is long.
pub(super) fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(200) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}

/// Parses a shape and drops the batch.
pub(super) fn shape_after_batch(value: &Value) -> Option<Sizes> {
    // Keras 2 may write a tuple as an object.
    let sizes = value.as_array().or_else(|| value.get("items")?.as_array())?.get(1..)?;
    sizes
        .iter()
        .map(|value| match value {
            Value::Null => Some(None),
            Value::Number(_) => size(value).map(Some),
            Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
        })
        .collect()
}
