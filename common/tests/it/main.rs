//! The two interfaces to servers with all their implementations, on real servers.
#![expect(clippy::unwrap_used, reason = "these are tests, which fail by panicking")]

mod in_memory;
mod in_process;
mod rabbitmq;
mod redis;
