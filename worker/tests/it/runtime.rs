//! A running worker between a broker, a store and a fake model that its images control.

mod batches;
mod bench;
mod clocks;
mod crashes;
mod engine;
mod faulty_store;
mod outages;
mod parts;
mod readiness;
mod stopping;
mod turns;
