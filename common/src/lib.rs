//! What the API and the workers of the image classification service both speak.
//!
//! Reading order: [`ids`] names things, [`messages`] says what travels, [`package`] is what is
//! served, [`image_size`] what an image will cost, [`broker`] and [`store`] are the two interfaces to the outside, [`fleet`] is the state of
//! all workers together and [`rollout`] changes it, [`config`], [`program`] and [`patience`] are what the
//! programs share, [`offload`] keeps what blocks apart, [`telemetry`] makes all of it visible. [`simulated`]
//! is what a simulation sets.
//!
//! # The delivery guarantee
//!
//! Delivery is at least once and the effect is exactly once. A part of a job stays in the broker
//! until a worker has stored its result and only then acknowledges it; the store keeps the first
//! result of a part and ignores every later one. A job therefore ends in exactly one answer: its
//! results, or an error that says why.

pub mod broker;
pub mod config;
pub mod fleet;
pub mod ids;
pub mod image_size;
pub mod messages;
pub mod offload;
pub mod package;
pub mod patience;
pub mod program;
pub mod rollout;
pub mod simulated;
pub mod store;
pub mod telemetry;
