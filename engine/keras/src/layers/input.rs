//! `InputLayer`.

use crate::json::{shape_after_batch, shown};
use crate::layers::Layer;
use crate::reader::Reader;

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
