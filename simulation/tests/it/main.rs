//! Runs of the simulated world.

mod fixes;
mod repetition;
mod seeds;
