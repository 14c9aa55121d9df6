//! What the fuzz targets share: giving bytes to readers that want a file, or a runtime.
//!
//! Each program in `targets/` takes bytes from libFuzzer and hands them to one of the service's readers. A
//! reader may refuse them, with an error that says something, or take them; a panic, a crash, ten seconds of
//! work or memory beyond the limit is a finding.

use std::fs;
use std::path::PathBuf;
use std::process;
use std::sync::LazyLock;

use bytes::Bytes;
use common::package::ModelFormat;
use tokio::runtime::{Builder, Runtime};

pub mod archive;

/// Reads a model from bytes, by way of a file.
///
/// # Panics
/// The file cannot be written, or the reader's error says nothing.
pub fn read_model(bytes: &[u8], format: ModelFormat) {
    // One a process: libFuzzer's workers are processes.
    static PATH: LazyLock<PathBuf> =
        LazyLock::new(|| std::env::temp_dir().join(format!("fuzz-model-{}", process::id())));
    fs::write(&*PATH, bytes).expect("the folder of temporary files can be written to");
    match worker::keras::open(&PATH, format) {
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
    match RUNTIME.block_on(api::testing::read_request(Some(content_type), body)) {
        Ok(images) => assert!(images > 0, "a request without images"),
        Err(error) => assert!(!error.is_empty(), "an error without words"),
    }
}
