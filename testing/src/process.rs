//! Child processes and folders that end with the tests.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use uuid::Uuid;

/// Timeout for a server to start, on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(120);

/// Timeout for a server to end when asked to.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// Interval between two checks of a port or a process.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The cleaner's script. It reads process groups until the pipe from the tests closes, which happens when the tests'
/// process ends for any reason. Then it kills the groups and removes the folder.
const CLEAN: &str = r#"
while read -r group; do groups="$groups $group"; done
for group in $groups; do kill -s KILL -- "-$group"; done 2> /dev/null
rm -rf "$1" || { sleep 1; rm -rf "$1"; }
"#;

/// A temporary folder and the processes that run in it. The processes end and the folder is removed when this is dropped,
/// and also when the tests' process is killed.
pub struct TestFolder {
    folder: PathBuf,
    cleaner: Child,
}

impl TestFolder {
    /// Creates an empty folder.
    ///
    /// # Panics
    /// The folder cannot be created.
    #[expect(clippy::new_without_default, reason = "it starts a process")]
    pub fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("classifier-test-{}", Uuid::new_v4().simple()));
        fs::create_dir(&folder).expect("there is room for temporary files");
        let cleaner = Command::new("sh")
            .args(["-c", CLEAN, "cleaner"])
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Not in the process group of the tests, which for example Ctrl-C ends.
            .process_group(0)
            .spawn()
            .expect("there is a shell");
        Self { folder, cleaner }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Starts a program in a process group of its own; its output goes to a file in the folder.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn start(&mut self, program: &str, set_up: impl FnOnce(&mut Command)) -> Process {
        let name = Path::new(program).file_name().unwrap_or_default();
        let log = self.folder.join(name).with_extension("out");
        let output =
            File::options().append(true).create(true).open(&log).expect("the folder can be written to");
        let mut command = Command::new(program);
        set_up(&mut command);
        let child = command
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a file can be opened twice"))
            .stderr(output)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "`{program}` cannot be started ({error}); tests need real servers: apt-get install \
                     rabbitmq-server redis-server"
                )
            });
        let pipe = self.cleaner.stdin.as_mut().expect("it was piped");
        writeln!(pipe, "{}", child.id()).expect("the cleaner listens");
        Process { child, log }
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        drop(self.cleaner.stdin.take());
        let _ = self.cleaner.wait();
    }
}

/// A server process and its children.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Waits until it accepts connections.
    ///
    /// # Panics
    /// It ends, or does not listen in time.
    pub fn wait_for_port(&mut self, port: u16) {
        let until = Instant::now() + START_LIMIT;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = self.child.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "the server ended ({ended:?}): {}", self.output());
            assert!(Instant::now() < until, "the server does not listen: {}", self.output());
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// Returns its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn output(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Returns whether it has ended.
    ///
    /// # Panics
    /// The system does not tell.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_some()
    }

    /// Sends a signal to it and its children.
    ///
    /// # Panics
    /// There is no shell.
    pub fn signal(&self, signal: &str) {
        let group = format!("kill -s {signal} -- -{}", self.child.id());
        let status = Command::new("sh").args(["-c", &group]).stderr(Stdio::null()).status();
        status.expect("there is a shell");
    }

    /// Freezes it and waits until it has stopped. On a busy machine the thread that takes the signal may wait for a CPU
    /// while others still answer.
    ///
    /// # Panics
    /// It does not stop.
    pub fn freeze(&self) {
        self.signal("STOP");
        wait_for("every thread of the server stands still", || {
            self.threads().all(|state| state == Some('T'))
        });
    }

    /// Resumes it.
    ///
    /// # Panics
    /// There is no shell.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// Returns the states of its threads, in the letters of proc(5).
    fn threads(&self) -> impl Iterator<Item = Option<char>> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten();
        threads.map(|thread| {
            let stat = fs::read_to_string(thread.ok()?.path().join("stat")).ok()?;
            // The name before it is in parentheses and may contain anything.
            stat.rsplit_once(')')?.1.trim_start().chars().next()
        })
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.signal("KILL");
        let _ = self.child.wait();
    }

    /// Asks it to end, waits until it has, and returns its exit status.
    ///
    /// # Panics
    /// It does not end in time.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    /// Waits until it has ended by itself, and returns its exit status.
    ///
    /// # Panics
    /// It does not end in time.
    pub fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + STOP_LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            assert!(Instant::now() < until, "the server does not stop: {}", self.output());
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// Returns its resident memory, in bytes.
    ///
    /// # Panics
    /// It has ended.
    #[must_use]
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        1024 * kilobytes.expect("the process runs")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until `holds` returns true; `what` names it.
pub(super) fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + START_LIMIT;
    while !holds() {
        assert!(Instant::now() < until, "it is not so that {what}");
        thread::sleep(LOOK_AGAIN);
    }
}

/// Returns a free port that this process has not returned before. It is not one of the system's ephemeral ports, which
/// a client could take while a server restarts.
///
/// # Panics
/// There is none.
#[must_use]
pub fn free_port() -> u16 {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    static HANDED_OUT: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut handed_out = HANDED_OUT.lock().unwrap_or_else(PoisonError::into_inner);
    let tried = std::iter::repeat_with(|| {
        let random = Uuid::new_v4().as_bytes()[..2].try_into().map_or(0, u16::from_be_bytes);
        FIRST + random % COUNT
    });
    let mut free = tried
        .take(1_000)
        .filter(|port| !handed_out.contains(port) && TcpListener::bind(("127.0.0.1", *port)).is_ok());
    let port = free.next().expect("there are free ports");
    handed_out.insert(port);
    port
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_handed_out_twice() {
        let ports: BTreeSet<u16> = (0..2_000).map(|_| free_port()).collect();
        assert_eq!(ports.len(), 2_000);
    }
}
