//! A fleet of real programs over a real RabbitMQ and a real Redis: what it promises when its parts die.
//!
//! Two packages hold the demo's network under labels of their own, `blue_4` and `green_4`: a label
//! alone tells which model made an answer, whatever the answer says of itself.

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
