//! What the worker does, seen from outside.

#[cfg(test)]
mod pixels;
#[cfg(test)]
mod runtime;
