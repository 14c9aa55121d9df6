//! A Redis that keeps what it is given.

use super::process::{Lair, Process, free_port};

/// When what Redis has answered is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Before the answer: a kill loses nothing that was promised.
    Always,
    /// Within a second, as in docker-compose.yml and by Redis's own default.
    EverySecond,
}

/// A Redis server of a test.
pub struct RedisServer {
    process: Process,
    lair: Lair,
    port: u16,
    durability: Durability,
}

impl RedisServer {
    /// Starts one that a kill cannot make forget anything, and waits until it answers.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(Durability::Always)
    }

    /// Starts one and waits until it answers.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn start_with(durability: Durability) -> Self {
        let mut lair = Lair::new();
        let port = free_port();
        Self { process: launch(&mut lair, port, durability), lair, port, durability }
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
        self.process = launch(&mut self.lair, self.port, self.durability);
    }

    /// Stops its clock: connections stay open and nothing is answered.
    pub fn freeze(&self) {
        self.process.freeze();
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.process.thaw();
    }
}

fn launch(lair: &mut Lair, port: u16, durability: Durability) -> Process {
    let fsync = match durability {
        Durability::Always => "always",
        Durability::EverySecond => "everysec",
    };
    let mut process = lair.start("redis-server", |command| {
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        command.args(["--appendonly", "yes", "--appendfsync", fsync]);
    });
    process.wait_for_port(port);
    process
}
