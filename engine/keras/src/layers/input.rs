//! `InputLayer`.

use serde_json::Value;

use crate::layers::Layer;
use crate::reader::{MAX_SIZE, Reader, shown};
use crate::shapes::Shape;

pub(super) fn input(reader: &mut Reader) -> Layer {
    for key in ["sparse", "ragged", "optional", "input_tensor", "type_spec"] {
        reader.unset(key);
    }
    // Keras 3 writes `batch_shape`, Keras 2 `batch_input_shape`.
    let value = match reader.value("batch_shape") {
        Some(value) => Some(value),
        None => reader.value("batch_input_shape"),
    };
    let shape = value.and_then(shape_after_batch);
    if shape.is_none() {
        let found = value.map_or_else(|| "missing".to_owned(), shown);
        reader.fault(format!(
            "`batch_shape` is {found}, expected one such as [null, 224, 224, 3]: the model was saved before it knew its \
             input; begin it with `keras.Input((224, 224, 3))`, or call it on an image, and save it again"
        ));
    }
    Layer::Input { shape: shape.unwrap_or_default() }
}

/// Parses a shape and drops the batch.
pub(crate) fn shape_after_batch(value: &Value) -> Option<Shape> {
    // Keras 2 may write a tuple as an object.
    let sizes = value.as_array().or_else(|| value.get("items")?.as_array())?.get(1..)?;
    sizes
        .iter()
        .map(|size| match size {
            Value::Null => Some(None),
            Value::Number(number) => {
                let size = number.as_u64().filter(|size| (1..=MAX_SIZE).contains(size))?;
                Some(usize::try_from(size).ok())
            }
            Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
        })
        .collect()
}
