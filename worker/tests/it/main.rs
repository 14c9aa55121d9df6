//! The worker against real Keras and the real TensorFlow library.

mod layers;
mod loading;
mod parity;
mod support;
