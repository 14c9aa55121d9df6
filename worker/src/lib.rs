//! Takes classification jobs and runs Keras models with TensorFlow.
//!
//! Reading order: [`config`] has the settings. [`run`](mod@run) takes parts of jobs, sends their images through the
//! [`pipeline`], stores the results and acknowledges the parts. [`control`] follows the fleet's wanted state, and
//! [`models`] holds the loaded models. [`engines`] decides which crate opens a package's file and which runs it.
//! [`examples`] runs a package's own images. [`health`] serves metrics and health checks.

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
