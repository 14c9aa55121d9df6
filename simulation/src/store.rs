//! The simulated store: the server's state, and what a process sees of it through its link.

pub mod client;
pub mod server;
pub mod state;
