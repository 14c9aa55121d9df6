//! Takes classification jobs and runs Keras models with TensorFlow.

pub mod control;
pub mod engine;
pub mod keras;
pub mod models;
