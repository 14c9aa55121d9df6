//! What the worker does, seen from outside: against real Keras, real OpenCV and the real TensorFlow
//! library.

// Marked as tests so that helpers, too, may unwrap.
#[cfg(test)]
mod archives;
#[cfg(test)]
mod bombs;
#[cfg(test)]
mod importer;
#[cfg(test)]
mod layer_classes;
mod layer_files;
#[cfg(test)]
mod layers;
#[cfg(test)]
mod loading;
#[cfg(test)]
mod others;
#[cfg(test)]
mod parity;
#[cfg(test)]
mod pixels;
#[cfg(test)]
mod programs;
#[cfg(test)]
mod runtime;
#[cfg(test)]
mod saved_models;
#[cfg(test)]
mod support;
