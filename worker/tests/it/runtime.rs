//! A running worker between a broker, a store and a model that does as its images say.

mod batches;
mod bench;
mod crashes;
mod engine;
mod forgetful;
mod parts;
mod stopping;
