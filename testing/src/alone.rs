//! Tests that measure their own process run in a process of their own.

use std::process::Command;

/// Returns whether `test` has this process for itself. If not, runs it in a new process, and the caller has nothing
/// left to do. `test` is its path, as `cargo test -- --list` shows it.
///
/// ```ignore
/// if !alone("rabbitmq::refused::no_memory_is_lost") {
///     return;
/// }
/// ```
///
/// # Panics
/// The test fails there, or does not exist.
#[must_use]
pub fn alone(test: &str) -> bool {
    let asked: Vec<String> = std::env::args().skip(1).filter(|word| word != "--nocapture").collect();
    if asked == [test, "--exact"] || asked == ["--exact", test] {
        return true;
    }
    let program = std::env::current_exe().expect("a process knows its program");
    let output = Command::new(program)
        .args([test, "--exact", "--nocapture"])
        .output()
        .expect("the tests can be started once more");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "alone, `{test}` fails:\n{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    false
}
