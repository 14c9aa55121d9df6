//! A RabbitMQ without plugins, with its own port mapper.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::process::{Lair, Process, free_port, wait_for};

/// The server's own script; the one in /usr/sbin changes the user first.
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// A RabbitMQ server of a test.
pub struct RabbitMqServer {
    process: Process,
    /// Erlang's port mapper. Started here, in the foreground, because Erlang would start one that stays.
    _mapper: Process,
    lair: Lair,
    ports: Ports,
}

#[derive(Clone, Copy)]
struct Ports {
    clients: u16,
    distribution: u16,
    mapper: u16,
}

impl RabbitMqServer {
    /// Starts one and waits until it answers, which takes seconds.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn start() -> Self {
        let mut lair = Lair::new();
        let ports = Ports { clients: free_port(), distribution: free_port(), mapper: free_port() };
        for (name, text) in [("enabled_plugins", "[]."), ("rabbitmq.conf", "log.file.level = warning\n")] {
            fs::write(lair.folder().join(name), text).expect("the folder can be written to");
        }
        let mut mapper = lair.start("epmd", |command| {
            command.args(["-port", &ports.mapper.to_string(), "-address", "127.0.0.1"]);
        });
        mapper.wait_for_port(ports.mapper);
        Self { process: launch(&mut lair, ports), _mapper: mapper, lair, ports }
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.ports.clients
    }

    /// Its address for clients.
    #[must_use]
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port())
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
        self.process = launch(&mut self.lair, self.ports);
    }

    /// Waits until the queues under `prefix` would survive [`Self::kill`].
    ///
    /// RabbitMQ writes down where a new quorum queue is only a moment after it was declared. Killed
    /// before, it comes back with an empty queue in its place, without a leader (seen with 3.10).
    ///
    /// # Panics
    /// It does not do so soon.
    pub fn settle(&self, prefix: &str) {
        let node = node(self.ports);
        let directory = self.lair.folder().join("data").join(&node).join("quorum").join(&node);
        for queue in ["dead", "parts"] {
            let name = format!("{prefix}.{queue}");
            wait_for(&format!("the queue `{name}` is written down"), || {
                let bytes = fs::read(directory.join("names.dets")).unwrap_or_default();
                bytes.windows(name.len()).any(|window| window == name.as_bytes())
            });
        }
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

fn node(ports: Ports) -> String {
    format!("test{}@localhost", ports.clients)
}

fn launch(lair: &mut Lair, ports: Ports) -> Process {
    let folder = lair.folder().to_owned();
    let mut process = lair.start(SERVER, |command| environment(command, &folder, ports));
    process.wait_for_port(ports.clients);
    process
}

fn environment(command: &mut Command, folder: &Path, ports: Ports) {
    let inside = |name: &str| folder.join(name);
    command
        // The cookie of Erlang's nodes goes there.
        .env("HOME", folder)
        .env("ERL_EPMD_PORT", ports.mapper.to_string())
        .env("RABBITMQ_NODENAME", node(ports))
        .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODE_PORT", ports.clients.to_string())
        .env("RABBITMQ_DIST_PORT", ports.distribution.to_string())
        .env("RABBITMQ_MNESIA_BASE", inside("data"))
        .env("RABBITMQ_LOG_BASE", inside("log"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", inside("enabled_plugins"))
        .env("RABBITMQ_CONFIG_FILE", inside("rabbitmq"))
        .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
        // One scheduler that does not spin: tests have few processors and use them themselves.
        .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none")
        // Makes the script replace itself by the server, which then gets the signals.
        .env("RUNNING_UNDER_SYSTEMD", "true")
        .arg("-noinput");
}
