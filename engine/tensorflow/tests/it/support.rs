//! Helpers of the tests.

use std::sync::OnceLock;

use engine::LoadError;
use keras::Model;
use tensorflow_engine::{Library, Settings, TensorflowEngine};

/// The TensorFlow library, which every test here needs.
pub(crate) fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        tensorflow_engine::open(&Settings::default()).unwrap_or_else(|error| panic!("{error}"))
    })
}

/// The engine of a model for images of this shape.
pub(crate) fn engine_of(
    library: &Library,
    model: &Model,
    image: [usize; 3],
) -> Result<TensorflowEngine, LoadError> {
    tensorflow_engine::engine(library, model.graph(Some(image)).map_err(LoadError::Unservable)?)
}
