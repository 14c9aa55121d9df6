//! What the programs of a fleet share: start, health checks and shutdown.

mod connect;
mod healthcheck;
mod leave;
mod listen;
mod open_files;
mod settings;
mod signals;

pub use self::connect::connect;
pub use self::healthcheck::healthcheck;
pub use self::leave::leave;
pub use self::listen::listen;
pub use self::open_files::raise_open_files;
pub use self::settings::{WRONG_SETTING, exit_code, parse_settings};
pub use self::signals::stop_on_signals;
