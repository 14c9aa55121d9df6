//! Tests of the worker from outside.

mod importer;
