//! A fleet of real programs over a real RabbitMQ and a real Redis: its guarantees while components crash.
//!
//! Two packages have the demo's network with their own labels, `blue_4` and `green_4`: a label alone tells which model
//! answered, whatever the answer says.

mod alarm;
mod client;
mod clocks;
mod cluster;
mod cut;
mod deletions;
mod load;
mod poison;
mod pressure;
mod programs;
mod replica;
mod restore;
mod shutdown;
mod starting;
mod storm;
mod swaps;
mod upgrades;
mod ways;
