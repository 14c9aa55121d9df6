//! The API over a real listener, with the in-process broker and store and a fake worker.

#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails its test there")]

mod adoption;
mod bodies;
mod clients;
mod connection;
mod description;
mod docs;
mod errors;
mod faults;
mod fleet;
mod harness;
mod idempotency;
mod jobs;
mod keys;
mod limits;
mod operations;
mod orders;
mod outage;
mod predictions;
mod program;
mod readiness;
mod restored;
mod stopping;
mod worker;
