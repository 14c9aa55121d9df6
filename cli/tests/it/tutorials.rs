//! Models of the usual tutorials without a config: see `tools/parity/make_tutorials.py`. The scores are those of each
//! tutorial's own code.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::check::{checked, failures};
use crate::serve::server::{command, repository};

#[derive(Deserialize)]
struct Tutorial {
    name: String,
    file: String,
    /// Without these the model does not say how it is served.
    flags: Vec<String>,
    photographs: PathBuf,
    examples: Vec<Value>,
}

/// Makes a package; returns the exit code and everything printed.
fn packaged(tutorial: &Tutorial, models: &Path, flags: &[String]) -> (Option<i32>, String) {
    let output = command(&["package", &tutorial.file, "--models-dir", models.to_str().unwrap()])
        .args(flags)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

/// Says what is wrong with how a tutorial's model is understood.
fn fault(tutorial: &Tutorial, models: &Path) -> Option<String> {
    let (code, said) = packaged(tutorial, models, &[]);
    let package = models.join(&tutorial.name);
    if !tutorial.flags.is_empty() {
        let asked = tutorial.flags.chunks(2).all(|flag| said.contains(&flag.join(" ")));
        if code != Some(2) || !asked || package.exists() {
            return Some(format!("is not asked for {:?}: {code:?} {said}", tutorial.flags));
        }
        let (code, said) = packaged(tutorial, models, &tutorial.flags);
        if code != Some(0) {
            return Some(format!("is not packaged with {:?}: {said}", tutorial.flags));
        }
    } else if code != Some(0) {
        return Some(format!("is not packaged: {said}"));
    }
    let examples = package.join("examples");
    fs::create_dir(&examples).unwrap();
    for entry in fs::read_dir(&tutorial.photographs).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), examples.join(entry.file_name())).unwrap();
    }
    let list = json!({"tolerance": 0.001, "examples": tutorial.examples});
    fs::write(examples.join("examples.json"), list.to_string()).unwrap();
    let (code, report) = checked(&package);
    (code != Some(0)).then(|| format!("has other scores: {:?}", failures(&report)))
}

#[test]
fn models_of_tutorials_are_read_as_their_code_reads_or_asked_about_and_never_guessed() {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new(repository().join(".cache/python/bin/python"))
        .arg(repository().join("tools/parity/make_tutorials.py"))
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let tutorials: Vec<Tutorial> =
        serde_json::from_slice(&fs::read(folder.path().join("made.json")).unwrap()).unwrap();
    let at_once = tutorials.iter().filter(|tutorial| tutorial.flags.is_empty()).count();
    assert!(tutorials.len() >= 25 && at_once >= 10, "{} tutorials, {at_once} at once", tutorials.len());
    let models = folder.path().join("models");
    let faults: Vec<String> = tutorials
        .iter()
        .filter_map(|tutorial| Some(format!("{} {}", tutorial.name, fault(tutorial, &models)?)))
        .collect();
    assert!(faults.is_empty(), "{} of {}: {faults:#?}", faults.len(), tutorials.len());
}
