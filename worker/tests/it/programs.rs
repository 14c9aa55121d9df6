//! The start and the end of the program `classifier-worker`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use testing::free_port;

use testing::repository;

/// Timeout for a program to end that waits for nothing, on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(10);

/// A worker whose servers are out of reach, with these settings instead of valid ones.
fn start(settings: &[(&str, &str)]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_classifier-worker"));
    command.env_clear();
    command.env("MODELS_DIR", repository().join("models"));
    command.env("TENSORFLOW_DIR", repository().join(".cache/tensorflow"));
    command.env("RABBITMQ_URL", format!("amqp://guest:guest@127.0.0.1:{}/%2f", free_port()));
    command.env("REDIS_URL", format!("redis://127.0.0.1:{}/0", free_port()));
    command.envs(settings.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Waits for its end; returns its output.
fn ended(mut child: Child) -> (ExitStatus, String) {
    let until = Instant::now() + AT_ONCE;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if Instant::now() >= until {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (status.unwrap_or_else(|| panic!("it does not end:\n{said}")), said)
}

fn tell_to_stop(child: &Child) {
    let killed = Command::new("kill").args(["-s", "TERM", &child.id().to_string()]).status();
    assert!(killed.unwrap().success());
}

/// Returns the status line and the body of a page.
fn page(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\n\r\n").ok()?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).ok()?;
    Some(format!("{} {}", reply.lines().next()?, reply.lines().last()?))
}

/// Waits for a page with this text.
fn until_it_says(child: &mut Child, port: u16, path: &str, words: &str) {
    let until = Instant::now() + 3 * AT_ONCE;
    while !page(port, path).is_some_and(|page| page.contains(words)) {
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        assert!(Instant::now() < until, "{path} never says `{words}`, but {:?}", page(port, path));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn settings_that_can_never_work_end_the_program_at_once_and_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (empty, file) = (folder.path().join("empty"), folder.path().join("file"));
    fs::create_dir(&empty).unwrap();
    fs::write(&file, "").unwrap();
    let (empty, file) = (empty.to_str().unwrap(), file.to_str().unwrap());
    for (variable, value, words) in [
        ("RABBITMQ_URL", "amqps://me:secret@localhost:5671/%2f", "TLS"),
        ("RABBITMQ_URL", "http://me:secret@localhost/", "scheme"),
        ("RABBITMQ_URL", "amqp://me:secret@localhost:70000/", "expected"),
        ("RABBITMQ_URL", "amqp://me:secret@one,two/", "expected"),
        ("REDIS_URL", "rediss://me:secret@localhost:6379/0", "TLS"),
        ("REDIS_URL", "http://me:secret@localhost/", "scheme"),
        ("REDIS_URL", "redis://me:secret@localhost:70000/0", "expected"),
        ("REDIS_URL", "redis://me:secret@one,two/0", "several hosts"),
        ("REDIS_URL", "redis://me:secret@localhost/x", "database"),
        ("MODELS_DIR", "/no/such/folder", "/no/such/folder"),
        ("MODELS_DIR", file, "expected the folder with the model packages"),
        ("TENSORFLOW_DIR", empty, "was not found"),
        ("FLEET_PREFIX", "a b", "letters, digits"),
        ("FLEET_PREFIX", "{a}", "letters, digits"),
        ("LOG_FILTER", "info,worker=loud", "expected e.g."),
        ("WORKER_PREFETCH", "0", "0"),
        ("QUEUE_MAX_PARTS", "0", "0"),
        ("FLEET_CALL_TIMEOUT", "0", "seconds above 0"),
        ("WORKER_LISTEN", "nowhere", "nowhere"),
    ] {
        let (status, said) = ended(start(&[(variable, value)]));
        assert_eq!(status.code(), Some(2), "{variable}={value}: {said}");
        assert!(said.contains(variable) && said.contains(words), "{variable}={value}: {said}");
        assert!(!said.contains("secret"), "{said}");
    }
}

#[test]
fn an_address_that_is_taken_fails_this_start_only() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (status, said) = ended(start(&[("WORKER_LISTEN", &address)]));
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("WORKER_LISTEN"), "{said}");
}

#[test]
fn a_worker_hears_a_signal_before_it_opens_the_library() {
    let mut child = start(&[]);
    let process = format!("/proc/{}", child.id());
    let catches_term = || {
        let status = fs::read_to_string(format!("{process}/status")).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        u64::from_str_radix(caught.trim(), 16).unwrap() & (1 << 14) != 0
    };
    let until = Instant::now() + AT_ONCE;
    while !catches_term() {
        assert!(Instant::now() < until && child.try_wait().unwrap().is_none(), "it never hears SIGTERM");
        std::thread::sleep(Duration::from_millis(1));
    }
    let maps = fs::read_to_string(format!("{process}/maps")).unwrap();
    assert!(!maps.contains("libtensorflow"), "the library was opened before");
    tell_to_stop(&child);
    let (status, said) = ended(child);
    assert_eq!(status.code(), Some(0), "{said}");
}

#[test]
fn a_worker_whose_servers_are_away_answers_at_once_and_stops_at_once() {
    let port = free_port();
    let mut child = start(&[("WORKER_LISTEN", &format!("127.0.0.1:{port}"))]);
    until_it_says(&mut child, port, "/health/live", "200 OK live");
    until_it_says(&mut child, port, "/health/ready", "503 Service Unavailable takes no jobs now: starting");
    until_it_says(&mut child, port, "/health/ready", "cut off from the store");
    let told = Instant::now();
    tell_to_stop(&child);
    let (status, said) = ended(child);
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(told.elapsed() < Duration::from_secs(5), "{:?}: {said}", told.elapsed());
}
