//! Tests of the worker from the outside.

mod runtime;
