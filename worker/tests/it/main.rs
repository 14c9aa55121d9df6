//! Tests of the worker from the outside.

mod pixels;
mod runtime;
