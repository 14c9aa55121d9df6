//! A file for each command.

pub mod check;
pub mod dead_letters;
pub mod examples;
pub mod inspect;
pub mod load;
pub mod models;
pub mod package;
pub mod predict;
pub mod score;
pub mod serve;
pub mod swap;
pub mod workers;
