//! RabbitMQ without plugins, with its own port mapper: a single server, or a cluster of three.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::process::{Process, TestFolder, free_port, wait_for};
use control::Node;
pub use control::RabbitMqControl;

mod control;

/// The server's own script; the one in /usr/sbin changes the user first.
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// A RabbitMQ server of a test.
pub struct RabbitMqServer {
    process: Process,
    /// Erlang's port mapper. Started here, in the foreground, because Erlang would start one that outlives the test.
    _mapper: Process,
    test_folder: TestFolder,
    node: Node,
}

impl RabbitMqServer {
    /// Starts one and waits until it answers, which takes seconds.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn start() -> Self {
        let mut test_folder = TestFolder::new();
        let (mapper, mapper_port) = prepare(&mut test_folder, "");
        let node = Node::new(mapper_port);
        Self { process: launch(&mut test_folder, node), _mapper: mapper, test_folder, node }
    }

    /// Returns its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.node.clients
    }

    /// Returns its address for clients.
    #[must_use]
    pub fn url(&self) -> String {
        self.node.url()
    }

    /// Returns its operator.
    #[must_use]
    pub fn control(&self) -> RabbitMqControl {
        RabbitMqControl::new(self.test_folder.path(), self.node)
    }

    /// Kills it (SIGKILL).
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Stops it cleanly.
    pub fn stop(&mut self) {
        self.process.stop();
    }

    /// Starts it again, after [`Self::kill`] or [`Self::stop`], with its data on disk.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = launch(&mut self.test_folder, self.node);
    }

    /// Waits until the queues under `prefix` would survive [`Self::kill`].
    ///
    /// RabbitMQ writes the location of a new quorum queue a moment after its declaration. If it is killed before, it
    /// comes back with an empty queue without a leader instead (seen with 3.10).
    ///
    /// # Panics
    /// It does not happen soon.
    pub fn settle(&self, prefix: &str) {
        settle(&self.test_folder, self.node, prefix);
    }

    /// Freezes it: connections stay open and nothing is answered.
    pub fn freeze(&self) {
        self.process.freeze();
    }

    /// Resumes it.
    pub fn thaw(&self) {
        self.process.thaw();
    }
}

/// A cluster of three servers on one host.
pub struct RabbitMqCluster {
    processes: Vec<Process>,
    _mapper: Process,
    test_folder: TestFolder,
    nodes: [Node; 3],
}

impl RabbitMqCluster {
    /// Starts one and waits until all three have joined, which takes tens of seconds.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn start() -> Self {
        let mut test_folder = TestFolder::new();
        let clustering = "cluster_formation.peer_discovery_backend = classic_config\n";
        let (mapper, mapper_port) = prepare(&mut test_folder, clustering);
        let nodes = [Node::new(mapper_port), Node::new(mapper_port), Node::new(mapper_port)];
        let mut conf = format!("{LOGGING}{clustering}");
        for (number, node) in nodes.iter().enumerate() {
            conf += &format!("cluster_formation.classic_config.nodes.{} = {}\n", number + 1, node.name());
        }
        write(&test_folder, "rabbitmq.conf", &conf);
        // The first one creates the cluster, the others join it.
        let mut processes = vec![launch(&mut test_folder, nodes[0])];
        let mut others: Vec<Process> = nodes[1..].iter().map(|node| spawn(&mut test_folder, *node)).collect();
        for (process, node) in others.iter_mut().zip(&nodes[1..]) {
            process.wait_for_port(node.clients);
        }
        processes.append(&mut others);
        let cluster = Self { processes, _mapper: mapper, test_folder, nodes };
        cluster.control(0).run(&["await_online_nodes", "3"]);
        cluster
    }

    /// Returns a node's address for clients.
    #[must_use]
    pub fn url(&self, node: usize) -> String {
        self.nodes[node].url()
    }

    /// Returns a node's operator.
    #[must_use]
    pub fn control(&self, node: usize) -> RabbitMqControl {
        RabbitMqControl::new(self.test_folder.path(), self.nodes[node])
    }

    /// Kills a node (SIGKILL).
    pub fn kill(&mut self, node: usize) {
        self.processes[node].kill();
    }

    /// Freezes a node.
    pub fn freeze(&self, node: usize) {
        self.processes[node].freeze();
    }

    /// Resumes a node.
    pub fn thaw(&self, node: usize) {
        self.processes[node].thaw();
    }

    /// Starts a node again, with its data on disk. Waits until it answers, unless it is one of several that wait for
    /// each other.
    pub fn restart(&mut self, node: usize) {
        self.processes[node].kill();
        self.processes[node] = launch(&mut self.test_folder, self.nodes[node]);
    }

    /// Waits until the queues under `prefix` would survive [`Self::kill`] of this node.
    ///
    /// # Panics
    /// It does not happen soon.
    pub fn settle(&self, node: usize, prefix: &str) {
        settle(&self.test_folder, self.nodes[node], prefix);
    }
}

const LOGGING: &str = "log.file.level = warning\n";

/// Writes the settings and starts the port mapper. Returns it and its port.
fn prepare(test_folder: &mut TestFolder, settings: &str) -> (Process, u16) {
    write(test_folder, "enabled_plugins", "[].");
    write(test_folder, "rabbitmq.conf", &format!("{LOGGING}{settings}"));
    let port = free_port();
    let mut mapper = test_folder.start("epmd", |command| {
        command.args(["-port", &port.to_string(), "-address", "127.0.0.1"]);
    });
    mapper.wait_for_port(port);
    (mapper, port)
}

fn write(test_folder: &TestFolder, name: &str, text: &str) {
    fs::write(test_folder.path().join(name), text).expect("the folder can be written to");
}

fn launch(test_folder: &mut TestFolder, node: Node) -> Process {
    let mut process = spawn(test_folder, node);
    process.wait_for_port(node.clients);
    process
}

fn spawn(test_folder: &mut TestFolder, node: Node) -> Process {
    let folder = test_folder.path().to_owned();
    test_folder.start(SERVER, |command| environment(command, &folder, node))
}

fn environment(command: &mut Command, folder: &Path, node: Node) {
    let inside = |name: &str| folder.join(name);
    node.environment(command, folder);
    command
        .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODE_PORT", node.clients.to_string())
        .env("RABBITMQ_DIST_PORT", node.distribution.to_string())
        .env("RABBITMQ_MNESIA_BASE", inside("data"))
        .env("RABBITMQ_LOG_BASE", inside("log"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", inside("enabled_plugins"))
        .env("RABBITMQ_CONFIG_FILE", inside("rabbitmq"))
        // One scheduler without busy waiting: tests have few CPUs and use them themselves.
        .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none")
        // Makes the script replace itself by the server, which then gets the signals.
        .env("RUNNING_UNDER_SYSTEMD", "true")
        .arg("-noinput");
}

fn settle(test_folder: &TestFolder, node: Node, prefix: &str) {
    let name = node.name();
    let directory = test_folder.path().join("data").join(&name).join("quorum").join(&name);
    for queue in ["dead", "parts", "probe"] {
        let name = format!("{prefix}.{queue}");
        wait_for(&format!("the queue `{name}` is written down"), || {
            let bytes = fs::read(directory.join("names.dets")).unwrap_or_default();
            bytes.windows(name.len()).any(|window| window == name.as_bytes())
        });
    }
}
