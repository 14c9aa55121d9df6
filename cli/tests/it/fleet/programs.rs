//! Starts and controls the programs of a fleet.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use testing::{Process, RabbitMqServer, RedisServer, TestFolder, free_port};

use super::ways::Ways;

/// The key of all calls.
pub(super) const KEY: &str = "fleet-test-key";

/// Timeout of every wait.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// A program's settings, as environment variables.
pub(super) type Settings<'a> = &'a [(&'a str, &'a str)];

/// The release of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Release {
    /// The previous release, built by `tools/release_before.sh`.
    Before,
    /// This release.
    Now,
}

/// How a program is started.
#[derive(Clone, Copy, Default)]
pub(super) struct Start<'a> {
    /// Its release; by default according to `FLEET_RELEASES`.
    pub(super) release: Option<Release>,
    /// The proxies before its servers, if any.
    pub(super) ways: Option<&'a Ways>,
    /// How far its clock is ahead.
    pub(super) clock_minutes: Option<f64>,
    pub(super) settings: Settings<'a>,
}

impl<'a> From<Settings<'a>> for Start<'a> {
    fn from(settings: Settings<'a>) -> Self {
        Self { settings, ..Self::default() }
    }
}

impl<'a, const COUNT: usize> From<&'a [(&'a str, &'a str); COUNT]> for Start<'a> {
    fn from(settings: &'a [(&'a str, &'a str); COUNT]) -> Self {
        Self::from(settings.as_slice())
    }
}

/// The servers, the models folder, and the folder of the programs' logs.
pub(super) struct Fleet {
    pub(super) rabbitmq: RabbitMqServer,
    pub(super) redis: RedisServer,
    test_folder: TestFolder,
    started: usize,
}

impl Fleet {
    /// Creates own servers and the packages `blue` and `green`, without programs.
    pub(super) fn new() -> Self {
        let (rabbitmq, redis) = (RabbitMqServer::start(), RedisServer::start());
        let fleet = Self { rabbitmq, redis, test_folder: TestFolder::new(), started: 0 };
        for colour in ["blue", "green"] {
            fleet.add_package(colour, &repository().join("models/digits"));
        }
        fleet
    }

    pub(super) fn models(&self) -> PathBuf {
        self.test_folder.path().join("models")
    }

    /// Copies a demo package with labels that begin with its name.
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

    /// Proxies before the two servers.
    pub(super) fn ways(&self) -> Ways {
        Ways::to(self.rabbitmq.port(), self.redis.port())
    }

    /// Starts an API process and waits until it answers.
    pub(super) fn api<'a>(&mut self, start: impl Into<Start<'a>>) -> Api {
        self.api_on(free_port(), start)
    }

    /// Starts an API process on this port and waits until it answers.
    pub(super) fn api_on<'a>(&mut self, port: u16, start: impl Into<Start<'a>>) -> Api {
        let listen = format!("127.0.0.1:{port}");
        let mut process = self.start(Program::Api, &[("API_LISTEN", &listen)], start.into());
        process.wait_for_port(port);
        Api { process, port }
    }

    /// Starts a worker; it takes jobs as soon as it is ready.
    pub(super) fn worker<'a>(&mut self, start: impl Into<Start<'a>>) -> Process {
        self.start(Program::Worker, &[], start.into())
    }

    /// Starts the worker whose engine crashes on certain images (`worker/examples/fragile_worker.rs`).
    pub(super) fn fragile_worker<'a>(&mut self, start: impl Into<Start<'a>>) -> Process {
        self.start(Program::FragileWorker, &[], start.into())
    }

    /// Starts a worker as the first process of a namespace of its own, as in a container.
    pub(super) fn contained_worker<'a>(&mut self, start: impl Into<Start<'a>>) -> Process {
        self.start(Program::ContainedWorker, &[], start.into())
    }

    fn start(&mut self, program: Program, own: Settings<'_>, start: Start<'_>) -> Process {
        self.started += 1;
        let path = program.path(start.release.unwrap_or_else(|| release_of(self.started)));
        let (rabbitmq, redis) = match start.ways {
            None => (self.rabbitmq.url(), self.redis.url()),
            Some(ways) => ways.urls(),
        };
        let models = self.models();
        let set_up = |command: &mut Command| {
            command
                .env("RABBITMQ_URL", rabbitmq)
                .env("REDIS_URL", redis)
                .env("MODELS_DIR", models)
                .env("X_API_KEY", KEY)
                .env("TENSORFLOW_DIR", repository().join(".cache/tensorflow"))
                .env("WORKER_INFERENCE_THREADS", "1")
                .env("WORKER_DECODE_THREADS", "1")
                .envs(own.iter().copied())
                .envs(start.settings.iter().copied());
            if let Some(minutes) = start.clock_minutes {
                command
                    .env("LD_PRELOAD", faketime())
                    .env("FAKETIME", format!("{minutes:+}m"))
                    // Waits use a clock that is not changed.
                    .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
            }
        };
        match program {
            Program::ContainedWorker => self.test_folder.start("unshare", |command| {
                command.args(["--pid", "--fork", "--kill-child"]).arg(path);
                set_up(command);
            }),
            Program::Api | Program::Worker | Program::FragileWorker => {
                self.test_folder.start(path.to_str().unwrap(), set_up)
            }
        }
    }

    /// Returns the logs of the programs of this name.
    pub(super) fn log(&self, program: &str) -> String {
        fs::read_to_string(self.test_folder.path().join(program).with_extension("out")).unwrap_or_default()
    }

    /// Returns the last lines of the programs' logs, for a test that failed.
    pub(super) fn logs(&self) -> String {
        ["classifier-api", "classifier-worker"]
            .map(|name| {
                let all = self.log(name);
                let from = all.lines().count().saturating_sub(60);
                format!("--- {name}\n{}\n", all.lines().skip(from).collect::<Vec<_>>().join("\n"))
            })
            .concat()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Program {
    Api,
    Worker,
    FragileWorker,
    ContainedWorker,
}

impl Program {
    fn path(self, release: Release) -> PathBuf {
        let now = programs();
        let folder = match release {
            Release::Before => repository().join(".cache/release-before"),
            Release::Now => now.clone(),
        };
        let path = match self {
            Self::Api => folder.join("classifier-api"),
            Self::Worker | Self::ContainedWorker => folder.join("classifier-worker"),
            Self::FragileWorker => now.join("examples/fragile_worker"),
        };
        let how = match release {
            Release::Before => "tools/release_before.sh",
            Release::Now => "cargo build --workspace --bins --examples",
        };
        assert!(path.is_file(), "`{}` is missing: {how}", path.display());
        path
    }
}

/// Returns whether a fleet runs programs of two releases.
pub(super) fn releases_are_mixed() -> bool {
    std::env::var("FLEET_RELEASES").is_ok_and(|releases| releases == "mixed")
}

/// Returns the release of the program with this number, according to `FLEET_RELEASES`: `before` runs the previous
/// release in a test, `mixed` for every second program.
fn release_of(number: usize) -> Release {
    match std::env::var("FLEET_RELEASES").as_deref() {
        Ok("before") => Release::Before,
        Ok("mixed") if number.is_multiple_of(2) => Release::Before,
        Ok("mixed" | "") | Err(_) => Release::Now,
        Ok(other) => panic!("FLEET_RELEASES is {other:?}, expected `before`, `mixed` or nothing"),
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

/// Calls `attempt` until it returns a value.
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

/// The library that shows a program another time; its wrapper command would take the signals.
fn faketime() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let mut libraries = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    libraries.find(|library| library.is_file()).expect("tests need libfaketime: apt-get install faketime")
}

/// Returns the root of the repository.
pub(super) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Returns the folder of the programs that were built with this test's profile.
fn programs() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_classifier")).parent().unwrap().to_owned()
}
