//! What the fuzz targets share: giving bytes to readers that want a file, or a runtime.
//!
//! Each program in `targets/` takes bytes from libFuzzer and hands them to one of the service's readers. A
//! reader may refuse them, with an error that says something, or take them; a panic, a crash, and
//! processor time or memory beyond the limit is a finding.

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

/// The address sanitizer makes everything slower by about this factor.
const SANITIZED: u32 = 2;

/// Does the work on so many bytes, which may take the processor time of [`time_to_read`].
///
/// # Panics
/// It took longer, or the system does not tell processor time.
pub fn within_its_time(bytes: usize, work: impl Fn()) {
    let limit = SANITIZED * time_to_read(bytes);
    let started = Instant::now();
    work();
    if started.elapsed() < limit {
        return;
    }
    // Others may have had the processor: once more, by the clock that costs more than most inputs to read.
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

/// Reads a model from bytes, by way of a file.
///
/// # Panics
/// The file cannot be written, or the reader's error says nothing.
pub fn read_model(bytes: &[u8], format: ModelFormat) {
    // One a process: libFuzzer's workers are processes.
    static PATH: LazyLock<PathBuf> =
        LazyLock::new(|| std::env::temp_dir().join(format!("fuzz-model-{}", process::id())));
    fs::write(&*PATH, bytes).expect("the folder of temporary files can be written to");
    match keras::open(&PATH, format) {
        Ok(model) => assert!(!model.outputs.is_empty(), "a model without outputs"),
        Err(error) => assert!(!error.to_string().is_empty(), "an error without words"),
    }
}

/// Reads the body of a request.
///
/// # Panics
/// The runtime cannot be started, or the reader's error says nothing.
pub fn read_request(content_type: &str, body: &[u8]) {
    static RUNTIME: LazyLock<Runtime> =
        LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime without threads starts"));
    let body = Bytes::copy_from_slice(body);
    match RUNTIME.block_on(api::process::read_request(Some(content_type), body)) {
        Ok(images) => assert!(images > 0, "a request without images"),
        Err(error) => assert!(!error.is_empty(), "an error without words"),
    }
}
