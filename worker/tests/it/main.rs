//! The worker from the outside: its stages and its models against OpenCV, real Keras and the real
//! TensorFlow library, and a running worker.

#[cfg(test)]
mod layers;
#[cfg(test)]
mod loading;
#[cfg(test)]
mod parity;
#[cfg(test)]
mod pixels;
#[cfg(test)]
mod runtime;
#[cfg(test)]
mod support;
