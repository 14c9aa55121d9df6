//! The worker against real Keras and the real TensorFlow library.

#[cfg(test)]
mod layers;
#[cfg(test)]
mod loading;
#[cfg(test)]
mod parity;
#[cfg(test)]
mod support;
