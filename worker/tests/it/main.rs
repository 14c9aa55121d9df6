//! The worker from outside: compared with real Keras, on the real TensorFlow library.

// Marked as tests so that helpers, too, may unwrap.
#[cfg(test)]
mod loading;
#[cfg(test)]
mod others;
#[cfg(test)]
mod parity;
#[cfg(test)]
mod programs;
#[cfg(test)]
mod runtime;
#[cfg(test)]
mod saved_models;
#[cfg(test)]
mod support;
