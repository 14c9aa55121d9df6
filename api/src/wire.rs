//! What travels over HTTP: the bodies of requests and answers, as the API writes and the command reads them.
//!
//! The types hold texts and numbers only, so that a client of this release can read what a newer server writes: a state that
//! it does not know is a text like any other.

pub mod dead_letters;
pub mod fleet;
pub mod health;
pub mod models;
pub mod predictions;
pub mod problem;
