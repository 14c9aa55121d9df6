//! Where the command finds the TensorFlow library without a setting.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::serve::server::repository;

/// The package `tensorflow` of the tests' own Python environment, and that Python's version.
fn package_of_python() -> (PathBuf, String) {
    let pythons = fs::read_dir(repository().join(".cache/python/lib")).unwrap();
    let python = pythons.map(|entry| entry.unwrap().path()).find(|path| path.join("site-packages").is_dir());
    let python = python.unwrap();
    let version = python.file_name().unwrap().to_str().unwrap().to_owned();
    (fs::canonicalize(python.join("site-packages/tensorflow")).unwrap(), version)
}

/// An environment as `pip install` creates it: the command in `bin`, and TensorFlow in `site-packages` if wanted.
fn environment(folder: &Path, has_tensorflow: bool) -> PathBuf {
    let (package, python) = package_of_python();
    let program = folder.join("bin/classifier");
    fs::create_dir_all(program.parent().unwrap()).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_classifier"), &program).unwrap();
    if has_tensorflow {
        let packages = folder.join("lib").join(python).join("site-packages");
        fs::create_dir_all(&packages).unwrap();
        symlink(package, packages.join("tensorflow")).unwrap();
    }
    program
}

/// Runs the package's examples, without this repository's own library.
fn check(program: &Path, folder: &Path, active: Option<&Path>) -> Output {
    let mut command = Command::new(program);
    command.args(["check", "digits"]).current_dir(folder).env_clear().env("TMPDIR", folder);
    command.env("MODELS_DIR", repository().join("models"));
    if let Some(environment) = active {
        command.env("VIRTUAL_ENV", environment);
    }
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn the_library_of_the_environment_that_the_command_is_installed_in_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let program = environment(folder.path(), true);
    let output = check(&program, folder.path(), None);
    assert!(output.status.success(), "{}", said(&output));
    // The links through which it is opened are removed.
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn the_library_of_the_active_environment_is_found_and_without_any_the_remedy_is_told() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let program = environment(folder.path(), false);
    let output = check(&program, folder.path(), None);
    assert!(!output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("pip install tensorflow-cpu"), "{}", said(&output));
    environment(other.path(), true);
    let output = check(&program, folder.path(), Some(other.path()));
    assert!(output.status.success(), "{}", said(&output));
}
