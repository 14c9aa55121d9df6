//! What the programs of a fleet have in common: how they come up, are asked after, and are told to stop.

mod connect;
mod healthcheck;
mod signals;

pub use self::connect::connect;
pub use self::healthcheck::healthcheck;
pub use self::signals::stop_on_signals;
