//! What the worker does, seen from outside.

#[cfg(test)]
mod pixels;
mod runtime;
