//! Takes classification jobs and runs Keras models with TensorFlow.
//!
//! Reading order: [`config`] holds the settings; [`run`](mod@run) takes parts of jobs, sends their images through
//! the [`pipeline`], stores the results and acknowledges; [`control`] keeps the worker in step with the
//! fleet and [`models`] holds what is loaded. [`engines`] decides which crate opens a package's file and which runs it.
//! [`examples`] tries a package's own images. [`health`] shows metrics and state.

pub mod config;
pub mod control;
pub mod engines;
pub mod examples;
pub mod health;
pub mod models;
mod panics;
pub mod pipeline;
pub mod run;
pub mod served;

pub use self::run::{Parts, run};
