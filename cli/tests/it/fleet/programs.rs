//! Starting the programs of a fleet, and what can be done to them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::testing::{Lair, Process, RabbitMqServer, RedisServer, free_port};

/// The key that all calls carry.
pub(super) const KEY: &str = "fleet-test-key";

/// Longest time for anything that is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// Settings of a program, as variables of its environment.
pub(super) type Settings<'a> = &'a [(&'a str, &'a str)];

/// The servers, the models folder, and where the programs leave their logs.
pub(super) struct Fleet {
    pub(super) rabbitmq: RabbitMqServer,
    pub(super) redis: RedisServer,
    lair: Lair,
}

impl Fleet {
    /// Servers of its own and the packages `blue` and `green`; no programs yet.
    pub(super) fn new() -> Self {
        let fleet =
            Self { rabbitmq: RabbitMqServer::start(), redis: RedisServer::start(), lair: Lair::new() };
        for colour in ["blue", "green"] {
            fleet.add_package(colour, &repository().join("models/digits"));
        }
        fleet
    }

    pub(super) fn models(&self) -> PathBuf {
        self.lair.folder().join("models")
    }

    /// A copy of a demo package whose labels begin with its name.
    pub(super) fn add_package(&self, name: &str, from: &Path) {
        let folder = self.models().join(name);
        fs::create_dir_all(&folder).unwrap();
        let original = from.file_name().unwrap().to_str().unwrap();
        fs::copy(from.join(format!("{original}.hdf5")), folder.join(format!("{name}.hdf5"))).unwrap();
        let config = fs::read_to_string(from.join(format!("{original}_config.json"))).unwrap();
        let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
        config["model_name"] = name.into();
        for label in config["output_config"]["output_classes"].as_array_mut().unwrap() {
            *label = format!("{name}_{}", label.as_str().unwrap()).into();
        }
        fs::write(folder.join(format!("{name}_config.json")), config.to_string()).unwrap();
    }

    /// Starts an API process and waits until it answers.
    pub(super) fn api(&mut self, settings: Settings<'_>) -> Api {
        self.api_on(free_port(), settings)
    }

    /// Starts an API process on this port and waits until it answers.
    pub(super) fn api_on(&mut self, port: u16, settings: Settings<'_>) -> Api {
        let mut process =
            self.start("classifier-api", &[("API_LISTEN", &format!("127.0.0.1:{port}"))], settings);
        process.wait_for_port(port);
        Api { process, port }
    }

    /// Starts a worker; it takes jobs as soon as it is ready.
    pub(super) fn worker(&mut self, settings: Settings<'_>) -> Process {
        self.start("classifier-worker", &[], settings)
    }

    /// Starts the worker whose engine dies of certain images (`worker/examples/fragile_worker.rs`).
    pub(super) fn fragile_worker(&mut self, settings: Settings<'_>) -> Process {
        self.start("examples/fragile_worker", &[], settings)
    }

    fn start(&mut self, program: &str, own: Settings<'_>, settings: Settings<'_>) -> Process {
        let path = programs().join(program);
        assert!(path.is_file(), "`{}` is missing: cargo build --workspace --bins --examples", path.display());
        let (rabbitmq, redis) = (self.rabbitmq.url(), self.redis.url());
        let models = self.models();
        self.lair.start(path.to_str().unwrap(), |command| {
            command
                .env("RABBITMQ_URL", rabbitmq)
                .env("REDIS_URL", redis)
                .env("MODELS_DIR", models)
                .env("X_API_KEY", KEY)
                .env("TENSORFLOW_DIR", repository().join(".cache/tensorflow"))
                .env("WORKER_INFERENCE_THREADS", "1")
                .env("WORKER_DECODE_THREADS", "1")
                .envs(own.iter().copied())
                .envs(settings.iter().copied());
        })
    }

    /// The last lines of what the programs logged, for a test that failed.
    pub(super) fn logs(&self) -> String {
        ["classifier-api.out", "classifier-worker.out"]
            .map(|name| {
                let all = fs::read_to_string(self.lair.folder().join(name)).unwrap_or_default();
                let from = all.lines().count().saturating_sub(60);
                format!("--- {name}\n{}\n", all.lines().skip(from).collect::<Vec<_>>().join("\n"))
            })
            .concat()
    }
}

/// An API process.
pub(super) struct Api {
    pub(super) process: Process,
    pub(super) port: u16,
}

impl Api {
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// Calls `attempt` until it gives a value.
pub(super) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut attempt: impl FnMut() -> F,
) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = attempt().await {
            return value;
        }
        assert!(Instant::now() < until, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The root of the repository.
pub(super) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Where cargo puts the programs of the profile that this test was built with.
fn programs() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_classifier")).parent().unwrap().to_owned()
}
