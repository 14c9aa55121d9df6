//! Runs of the simulated world.

mod mends;
mod repetition;
mod seeds;
