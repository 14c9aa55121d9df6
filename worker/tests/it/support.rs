//! Shared helpers.

use std::sync::OnceLock;

use tensorflow_engine::{Library, Settings};

/// The TensorFlow library, which every test here needs.
pub(crate) fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        tensorflow_engine::open(&Settings::default()).unwrap_or_else(|error| panic!("{error}"))
    })
}
