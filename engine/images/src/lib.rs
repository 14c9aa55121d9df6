//! Turns image files into a model's input, as the framework does that the model was trained with.
//!
//! [`decode`](mod@decode) turns a file's bytes into pixel values, and [`preprocess`](mod@preprocess) turns those into
//! the input that a package's config describes. Both are plain functions: no threads, no clock, no network.

pub mod decode;
pub mod preprocess;
