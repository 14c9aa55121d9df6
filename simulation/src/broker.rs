//! The simulated broker: the server's queue, and what a process sees of it through its link.

pub mod client;
pub mod consumer;
pub mod server;
