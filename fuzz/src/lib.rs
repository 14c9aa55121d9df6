//! What the fuzz targets share: passing bytes to parsers that need a file or a runtime.
//!
//! Each program in `targets/` passes bytes from libFuzzer to one of the service's parsers. A parser may refuse them
//! with an error message, or accept them. A panic, a crash, or too much CPU time or memory is a finding.

use std::fs;
use std::path::PathBuf;
use std::process;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::package::ModelFormat;
use testing::time_to_read;
use tokio::runtime::{Builder, Runtime};

pub mod archive;

/// The slowdown of the address sanitizer.
const SANITIZED: u32 = 2;

/// Runs `work` on so many bytes, which may take the CPU time of [`time_to_read`].
///
/// # Panics
/// It took longer, or the system does not report CPU time.
pub fn within_its_time(bytes: usize, work: impl Fn()) {
    let limit = SANITIZED * time_to_read(bytes);
    let started = Instant::now();
    work();
    if started.elapsed() < limit {
        return;
    }
    // Other processes may have had the CPU: measured again by thread time, whose query costs more than parsing most
    // inputs.
    let before = processor_time();
    work();
    let took = processor_time() - before;
    assert!(took < limit, "{bytes} bytes took {took:?} of processor time, expected at most {limit:?}");
}

/// Of this thread.
fn processor_time() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("the system tells processor time");
    let nanoseconds = text.split(' ').next().and_then(|number| number.parse().ok());
    Duration::from_nanos(nanoseconds.expect("the first word is a number"))
}

/// Reads a model from bytes, through a file.
///
/// # Panics
/// The file cannot be written, or the parser's error has no message.
pub fn read_model(bytes: &[u8], format: ModelFormat) {
    // One per process: libFuzzer's workers are processes.
    static PATH: LazyLock<PathBuf> =
        LazyLock::new(|| std::env::temp_dir().join(format!("fuzz-model-{}", process::id())));
    fs::write(&*PATH, bytes).expect("the folder of temporary files can be written to");
    match keras::open(&PATH, format) {
        Ok(model) => assert!(!model.outputs.is_empty(), "a model without outputs"),
        Err(error) => assert!(!error.to_string().is_empty(), "an error without words"),
    }
}

/// Unpacks a zip with a model and its labels.
///
/// # Panics
/// The files cannot be written, or the parser's error has no message.
pub fn unpack(bytes: &[u8]) {
    static FOLDER: LazyLock<PathBuf> =
        LazyLock::new(|| std::env::temp_dir().join(format!("fuzz-bundle-{}", process::id())));
    let (zip, into) = (FOLDER.join("m.zip"), FOLDER.join("into"));
    fs::create_dir_all(&into).expect("the folder of temporary files can be written to");
    fs::write(&zip, bytes).expect("the folder of temporary files can be written to");
    match keras::bundle::unpack(&zip, &into) {
        Ok(unpacked) => assert!(unpacked.model.starts_with(&into), "a model outside of the folder"),
        Err(error) => assert!(!error.to_string().is_empty(), "an error without words"),
    }
    fs::remove_dir_all(&into).expect("the folder is our own");
}

/// Reads the body of a request.
///
/// # Panics
/// The runtime cannot be started, or the parser's error has no message.
pub fn read_request(content_type: &str, body: &[u8]) {
    static RUNTIME: LazyLock<Runtime> =
        LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime without threads starts"));
    let body = Bytes::copy_from_slice(body);
    match RUNTIME.block_on(api::process::read_request(Some(content_type), body)) {
        Ok(images) => assert!(images > 0, "a request without images"),
        Err(error) => assert!(!error.is_empty(), "an error without words"),
    }
}
