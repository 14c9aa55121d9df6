//! Images become a model's input, as the frameworks that models are trained with read them.
//!
//! [`decode`](mod@decode) turns a file's bytes into pixel values, [`preprocess`](mod@preprocess) those into the input that a
//! package's config asks for. Both are plain functions: no threads, no clock, no network.

pub mod decode;
pub mod preprocess;
