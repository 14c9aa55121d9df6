//! Layers in the real TensorFlow library against real Keras.

// Marked as tests so that helpers, too, may unwrap.
#[cfg(test)]
mod layer_files;
#[cfg(test)]
mod layers;
#[cfg(test)]
mod support;
