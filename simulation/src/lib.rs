//! A simulated world that looks for faults of the image classification service.
//!
//! API processes, workers, operators and clients run as they are, over a broker and a store in memory whose faults are
//! events. Time is paused, and every choice comes from one seed: the same seed takes the same course.
//!
//! Reading order: [`plan`] draws what happens in a run; [`world`] lets it happen and [`mod@run`] asks for it, and makes a
//! plan that finds a fault smaller. [`link`] is the network, [`broker`] and [`store`] are the two servers and their
//! clients, [`process`] holds API processes and workers, [`clients`] and [`operators`] use them, and [`promises`] is
//! what must hold. [`options`] takes mends of the product out again, to see that their faults are found.

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
