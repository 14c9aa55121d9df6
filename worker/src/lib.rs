//! Takes classification jobs and runs Keras models with TensorFlow.

pub mod engine;
pub mod keras;
pub mod npy;
pub mod tensorflow;
