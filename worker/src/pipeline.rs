//! The stages between the bytes of an image file and a label, in order. Plain functions: none awaits.

pub mod decode;
pub mod postprocess;
pub mod preprocess;
