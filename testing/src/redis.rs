//! A Redis server that keeps its data across restarts, and that a test can roll back.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::{Process, TestFolder, free_port, wait_for};

/// Redis's files: a folder from 7.0 on, a file before.
const KEPT: [&str; 2] = ["appendonlydir", "appendonly.aof"];

/// When an answered write is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Before the answer: a kill loses nothing that was confirmed.
    Always,
    /// Within a second, as in docker-compose.yml and by Redis's own default.
    EverySecond,
}

/// A Redis server of a test.
pub struct RedisServer {
    process: Process,
    test_folder: TestFolder,
    port: u16,
    durability: Durability,
    /// Additional options.
    options: Vec<String>,
    saves: u32,
}

/// The data of a [`RedisServer`] at one moment.
#[derive(Debug, Clone)]
pub struct SavedRedis(PathBuf);

impl RedisServer {
    /// Starts one whose data survives a kill, and waits until it answers.
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
        Self::start_with_options(durability, &[])
    }

    /// Starts one with additional options, such as `--cluster-enabled yes`, and waits until it answers.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn start_with_options(durability: Durability, options: &[&str]) -> Self {
        let mut test_folder = TestFolder::new();
        let port = free_port();
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let process = launch(&mut test_folder, port, durability, &options);
        Self { process, test_folder, port, durability, options, saves: 0 }
    }

    /// Starts a replica of this one and waits until it is in sync.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn start_replica(&self) -> Self {
        let replica = Self::start_with(self.durability);
        replica.follow(self);
        self.wait_for_copy(&replica);
        replica
    }

    /// Waits until a replica has all writes before the call. The link state does not tell that.
    ///
    /// # Panics
    /// It has not, after a long time.
    pub fn wait_for_copy(&self, replica: &Self) {
        let told = self.replication("master_repl_offset").and_then(|offset| offset.parse::<u64>().ok());
        wait_for("the replica has a copy of everything", || {
            let copied = replica.replication("slave_repl_offset").and_then(|offset| offset.parse().ok());
            replica.replication("master_link_status").as_deref() == Some("up")
                && told.is_some()
                && copied >= told
        });
    }

    /// Returns a field of its replication info.
    fn replication(&self, name: &str) -> Option<String> {
        let said = self.command(&["INFO", "replication"]).ok()?;
        said.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim().to_owned()))
    }

    /// Makes it a replica of `master`.
    ///
    /// # Panics
    /// It refuses.
    pub fn follow(&self, master: &Self) {
        self.command(&["REPLICAOF", "127.0.0.1", &master.port.to_string()]).expect("it follows");
    }

    /// Makes it a master.
    ///
    /// # Panics
    /// It refuses.
    pub fn lead(&self) {
        self.command(&["REPLICAOF", "NO", "ONE"]).expect("it leads");
    }

    /// Sends one command, as an operator would, and returns the answer as text.
    ///
    /// # Errors
    /// The server's error.
    ///
    /// # Panics
    /// The server is not there.
    pub fn command(&self, words: &[&str]) -> Result<String, String> {
        let port = self.port.to_string();
        // `-e` makes a server error an error of the command.
        let output = Command::new("redis-cli").args(["-e", "-p", &port]).args(words).output();
        let output = output.expect("redis-cli comes with the server");
        let text = |bytes| String::from_utf8_lossy(bytes).trim_end().to_owned();
        if output.status.success() {
            return Ok(text(&output.stdout));
        }
        Err(text(&output.stdout) + &text(&output.stderr))
    }

    /// Copies its current data, as a backup would, or as a replica had it before later writes were lost.
    ///
    /// # Panics
    /// The disk is full.
    pub fn save(&mut self) -> SavedRedis {
        self.saves += 1;
        let saved = self.test_folder.path().join(format!("saved-{}", self.saves));
        fs::create_dir(&saved).expect("there is room");
        for name in KEPT {
            copy(&self.test_folder.path().join(name), &saved.join(name));
        }
        SavedRedis(saved)
    }

    /// Kills it and starts it again with earlier data.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn restore(&mut self, saved: &SavedRedis) {
        self.process.kill();
        self.forget();
        for name in KEPT {
            copy(&saved.0.join(name), &self.test_folder.path().join(name));
        }
        self.restart();
    }

    /// Kills it and starts it again without data.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn come_back_empty(&mut self) {
        self.process.kill();
        self.forget();
        self.restart();
    }

    fn forget(&self) {
        for kept in KEPT.map(|name| self.test_folder.path().join(name)) {
            if kept.is_dir() {
                fs::remove_dir_all(&kept).expect("its own folder can be removed");
            } else if kept.exists() {
                fs::remove_file(&kept).expect("its own file can be removed");
            }
        }
    }

    /// Returns its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.test_folder.path()
    }

    /// Returns its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns its address for clients.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
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
        self.process = launch(&mut self.test_folder, self.port, self.durability, &self.options);
    }

    /// As [`Self::restart`], from now on with these additional options.
    pub fn restart_with_options(&mut self, options: &[&str]) {
        self.options = options.iter().map(|option| (*option).to_owned()).collect();
        self.restart();
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

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir(to).expect("there is room");
        for entry in fs::read_dir(from).expect("it can be read") {
            let name = entry.expect("it can be read").file_name();
            // Files that Redis is rewriting are not part of its data.
            if Path::new(&name).extension() != Some(OsStr::new("tmp")) {
                copy(&from.join(&name), &to.join(&name));
            }
        }
    } else if from.exists() {
        fs::copy(from, to).expect("there is room");
    }
}

fn launch(test_folder: &mut TestFolder, port: u16, durability: Durability, options: &[String]) -> Process {
    let fsync = match durability {
        Durability::Always => "always",
        Durability::EverySecond => "everysec",
    };
    let mut process = test_folder.start("redis-server", |command| {
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        command.args(["--appendonly", "yes", "--appendfsync", fsync]);
        command.args(options);
    });
    process.wait_for_port(port);
    process
}
