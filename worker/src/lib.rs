//! Takes classification jobs and runs Keras models with TensorFlow.
//!
//! Reading order: [`config`] holds the settings; [`run`](mod@run) takes parts of jobs, sends their images through
//! the [`pipeline`], stores the results and acknowledges; [`control`] keeps the worker in step with the
//! fleet and [`models`] holds what is loaded. [`engine`] is the seam to what computes: [`keras`] reads a
//! model's file, [`tensorflow`] runs it, [`examples`] tries a package's own images. [`health`] shows metrics and state. [`npy`]
//! reads and writes arrays for the commands that look at one model.

pub mod config;
pub mod control;
pub mod engine;
pub mod examples;
pub mod health;
pub mod keras;
pub mod models;
pub mod npy;
mod panics;
pub mod pipeline;
pub mod run;
pub mod tensorflow;

pub use self::run::{Parts, run};
