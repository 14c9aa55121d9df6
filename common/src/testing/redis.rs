//! A Redis that keeps what it is given.

use super::process::{Lair, Process, free_port};

/// A Redis server of a test.
pub struct RedisServer {
    process: Process,
    lair: Lair,
    port: u16,
}

impl RedisServer {
    /// Starts one and waits until it answers.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn start() -> Self {
        let mut lair = Lair::new();
        let port = free_port();
        Self { process: launch(&mut lair, port), lair, port }
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address for clients.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Ends it at once (SIGKILL).
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Ends it cleanly.
    pub fn stop(&mut self) {
        self.process.stop();
    }

    /// Starts it again, after [`Self::kill`] or [`Self::stop`], with what it had on disk.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = launch(&mut self.lair, self.port);
    }

    /// Stops its clock: connections stay open and nothing is answered.
    pub fn freeze(&self) {
        self.process.signal("STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.process.signal("CONT");
    }
}

fn launch(lair: &mut Lair, port: u16) -> Process {
    let mut process = lair.start("redis-server", |command| {
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        // Every write on disk before it is answered, so that a kill loses nothing that was promised.
        command.args(["--appendonly", "yes", "--appendfsync", "always"]);
    });
    process.wait_for_port(port);
    process
}
