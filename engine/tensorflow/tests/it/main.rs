//! Layers in the real TensorFlow library against real Keras, and primitives against the reference.

// Marked as tests so that helpers, too, may unwrap.
#[cfg(test)]
#[path = "../../../keras/tests/it/layer_cases.rs"]
mod layer_cases;
#[cfg(test)]
mod layer_files;
#[cfg(test)]
mod layers;
#[cfg(test)]
mod primitives;
#[cfg(test)]
mod support;
