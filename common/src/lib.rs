//! What the API and the workers of the image classification service share.
//!
//! Reading order: [`ids`] has names and ids, [`messages`] the messages, [`package`] the model packages and
//! [`image_size`] the cost of an image. [`broker`] and [`store`] are the two interfaces to servers. [`fleet`] is the
//! state of all workers, and [`rollout`] changes it. The programs share [`config`], [`program`] and [`patience`].
//! [`offload`] runs blocking work, [`telemetry`] has logs and metrics, [`trace`] trace contexts, and [`simulated`] is for simulations.
//!
//! # The delivery guarantee
//!
//! Delivery is at least once and the effect is exactly once. A part of a job stays in the broker until a worker has
//! stored its result, which then acknowledges it. The store keeps the first result of a part and ignores every later
//! one. A job therefore ends in exactly one answer: its results, or an error that says why.

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
pub mod trace;
