//! Tests of the worker from the outside.

#[cfg(test)]
mod pixels;
#[cfg(test)]
mod runtime;
