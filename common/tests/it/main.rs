//! The two seams on all their implementations, with real servers.

mod in_memory;
mod in_process;
mod rabbitmq;
mod redis;
