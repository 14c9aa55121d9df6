//! Tests of the worker from the outside.

#[cfg(test)]
mod pixels;
mod runtime;
