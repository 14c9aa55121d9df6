//! Operator commands: `rabbitmqctl` on a test's server.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{free_port, wait_for};

/// The script itself; the one in /usr/sbin changes the user first.
const CONTROL: &str = "/usr/lib/rabbitmq/bin/rabbitmqctl";

/// The tool for queues that have members on several nodes.
const QUEUES: &str = "/usr/lib/rabbitmq/bin/rabbitmq-queues";

/// One server's names and ports.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub(super) clients: u16,
    pub(super) distribution: u16,
    mapper: u16,
}

impl Node {
    /// Returns a new name and ports, and registers the name with the port mapper.
    pub(super) fn new(mapper: u16) -> Self {
        Self { clients: free_port(), distribution: free_port(), mapper }
    }

    pub(super) fn name(self) -> String {
        format!("test{}@localhost", self.clients)
    }

    pub(super) fn url(self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.clients)
    }

    /// Environment variables of server and operator.
    pub(super) fn environment(self, command: &mut Command, folder: &Path) {
        command
            // The cookie of Erlang's nodes is here: one for all in this folder, and never root's own.
            .env("HOME", folder)
            .env("ERL_EPMD_PORT", self.mapper.to_string())
            .env("RABBITMQ_NODENAME", self.name())
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null");
    }
}

/// The operator of one server. Each command takes a second or more: call it from a blocking thread.
#[derive(Debug, Clone)]
pub struct RabbitMqControl {
    folder: PathBuf,
    node: Node,
}

impl RabbitMqControl {
    pub(super) fn new(folder: &Path, node: Node) -> Self {
        Self { folder: folder.to_owned(), node }
    }

    /// Runs `rabbitmqctl` and returns its output. Retries while a server that has just opened its port starts up.
    ///
    /// # Panics
    /// The command fails.
    pub fn run(&self, arguments: &[&str]) -> String {
        let mut outcome = Err(String::new());
        wait_for(&format!("the server takes commands such as {arguments:?}"), || {
            outcome = self.attempt(CONTROL, arguments);
            !matches!(&outcome, Err(said) if said.contains("app to be running"))
        });
        match outcome {
            Ok(text) => text,
            Err(said) => panic!("rabbitmqctl {arguments:?}: {said}"),
        }
    }

    fn attempt(&self, program: &str, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(program);
        self.node.environment(&mut command, &self.folder);
        // One scheduler, as for the server.
        command.env("RABBITMQ_CTL_ERL_ARGS", "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none");
        let output =
            command.arg("--quiet").args(arguments).output().expect("RabbitMQ's tools can be started");
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            return Ok(text(&output.stdout));
        }
        Err(format!("{} {}", text(&output.stdout), text(&output.stderr)))
    }

    /// Deletes a queue with its content.
    pub fn delete_queue(&self, name: &str) {
        self.run(&["delete_queue", name]);
    }

    /// Deletes a queue's replica on another node of the cluster.
    ///
    /// # Panics
    /// It has no replica there.
    pub fn delete_member(&self, queue: &str, other: &Self) {
        let outcome = self.attempt(QUEUES, &["delete_member", queue, &other.node.name()]);
        assert!(outcome.is_ok(), "{outcome:?}");
    }

    /// Creates a virtual host that `guest` may use.
    pub fn add_vhost(&self, name: &str) {
        self.run(&["add_vhost", name]);
        self.permit("guest", name, ".*");
    }

    /// Deletes a virtual host with its content; its connections end.
    pub fn delete_vhost(&self, name: &str) {
        self.run(&["delete_vhost", name]);
    }

    /// Returns its address for clients of a virtual host and a user.
    #[must_use]
    pub fn url(&self, user: &str, password: &str, vhost: &str) -> String {
        let vhost = vhost.replace('/', "%2f");
        format!("amqp://{user}:{password}@127.0.0.1:{}/{vhost}", self.node.clients)
    }

    /// Creates a user without permissions.
    pub fn add_user(&self, name: &str, password: &str) {
        self.run(&["add_user", name, password]);
    }

    /// Changes a user's password.
    pub fn change_password(&self, name: &str, password: &str) {
        self.run(&["change_password", name, password]);
    }

    /// Allows a user to configure, write and read what `pattern` matches in a virtual host.
    pub fn permit(&self, user: &str, vhost: &str, pattern: &str) {
        self.run(&["set_permissions", "-p", vhost, user, pattern, pattern, pattern]);
    }

    /// Raises the memory alarm.
    pub fn raise_memory_alarm(&self) {
        self.run(&["set_vm_memory_high_watermark", "0.00001"]);
    }

    /// Ends the memory alarm.
    pub fn end_memory_alarm(&self) {
        self.run(&["set_vm_memory_high_watermark", "0.4"]);
    }

    /// Raises the disk alarm.
    pub fn raise_disk_alarm(&self) {
        self.run(&["set_disk_free_limit", "1000000GB"]);
    }

    /// Ends the disk alarm.
    pub fn end_disk_alarm(&self) {
        self.run(&["set_disk_free_limit", "1MB"]);
    }

    /// Returns the addresses of all client connections.
    #[must_use]
    pub fn connections(&self) -> Vec<String> {
        let listed = self.run(&["list_connections", "--no-table-headers", "name"]);
        listed.lines().filter(|line| !line.trim().is_empty()).map(ToOwned::to_owned).collect()
    }
}
