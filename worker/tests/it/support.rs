//! What the modules here share.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use worker::tensorflow::{Library, Settings};

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The TensorFlow library, which every test here needs.
pub(crate) fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let folder: PathBuf = root().join(".cache/tensorflow");
        let named = Settings { folder: folder.is_dir().then_some(folder), ..Settings::default() };
        worker::tensorflow::open(&named).unwrap_or_else(|error| panic!("{error}"))
    })
}

/// The largest difference of two lists, which have to be equally long.
pub(crate) fn largest_difference(left: &[f32], right: &[f32]) -> f32 {
    assert_eq!(left.len(), right.len());
    left.iter().zip(right).map(|(a, b)| (a - b).abs()).fold(0.0, |worst: f32, difference| {
        // NaN counts as the worst there is.
        if difference.is_nan() { f32::INFINITY } else { worst.max(difference) }
    })
}

/// The largest absolute value.
pub(crate) fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |most: f32, value| most.max(value.abs()))
}
