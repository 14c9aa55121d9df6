//! A deterministic simulation that looks for bugs of the image classification service.
//!
//! API processes, workers, operators and clients run their real code, over a broker and a store in memory with injected
//! faults. Time is simulated, and every choice comes from one seed: the same seed gives the same run.
//!
//! Reading order: [`plan`] draws the events of a run. [`mod@run`] runs it in a [`world`], and shrinks a plan that finds
//! a bug. [`link`] is the network, [`broker`] and [`store`] are the two servers and their clients, [`process`] has API
//! processes and workers, [`clients`] and [`operators`] use them, and [`promises`] are checked. [`options`] removes
//! fixes of the product, to verify that their bugs are found.

pub mod broker;
pub mod clients;
pub mod engine;
pub mod faults;
pub mod healing;
pub mod link;
pub mod operators;
pub mod options;
pub mod plan;
pub mod process;
pub mod promises;
pub mod random;
pub mod run;
pub mod store;
pub mod trace;
pub mod world;
