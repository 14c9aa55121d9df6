//! What the worker does, seen from outside.

mod pixels;
mod runtime;
