//! `classifier check`: valid and invalid packages.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::serve::server::{command, repository};

/// Runs the command on a package's folder; returns the exit code and its JSON.
pub(crate) fn checked(package: &Path) -> (Option<i32>, Value) {
    let output = command(&["check", package.to_str().unwrap(), "--json"]).output().unwrap();
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), report)
}

/// Returns name and detail of the failing checks.
pub(crate) fn failures(report: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let checks = report["checks"].as_array().unwrap().iter().filter(|check| check["passed"] == false);
    checks.map(|check| (text(&check["check"]), text(&check["detail"]))).collect()
}

/// Copies a package's folder, with the config changed by `change`.
fn copied(package: &Path, into: &Path, change: impl FnOnce(&mut Value)) -> PathBuf {
    let name = package.file_name().unwrap().to_str().unwrap();
    let to = into.join(name);
    for folder in ["", "examples"] {
        fs::create_dir_all(to.join(folder)).unwrap();
        for entry in fs::read_dir(package.join(folder)).unwrap() {
            let entry = entry.unwrap();
            if entry.path().is_file() {
                fs::copy(entry.path(), to.join(folder).join(entry.file_name())).unwrap();
            }
        }
    }
    let config = to.join(format!("{name}_config.json"));
    let mut json = serde_json::from_str(&fs::read_to_string(&config).unwrap()).unwrap();
    change(&mut json);
    fs::write(config, json.to_string()).unwrap();
    to
}

#[test]
fn the_demos_packages_give_the_scores_that_keras_gives() {
    for name in ["digits", "digits_small"] {
        let (code, report) = checked(&repository().join("models").join(name));
        assert_eq!((code, &report["passed"]), (Some(0), &json!(true)), "{report}");
        let examples: Vec<_> = report["checks"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|check| check["difference"].as_f64())
            .collect();
        assert_eq!(examples.len(), 5, "{report}");
        // PNG and float32 on both sides: far below the tolerance of 1e-3.
        assert!(examples.iter().all(|difference| *difference < 1e-5), "{examples:?}");
    }
    let output = command(&["check", "digits"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for words in
        ["ok    warm-up", "example `01_is_2.png`", "tolerance 0.001; label `2`", "8 passed, 0 failed"]
    {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
}

#[test]
fn every_failing_example_is_told_with_its_figure() {
    let folder = tempfile::tempdir().unwrap();
    let digits = repository().join("models/digits");
    let package = copied(&digits, folder.path(), |config| {
        config["image_preproc_config"]["normalization_factor"] = json!(-255);
    });
    let (code, report) = checked(&package);
    assert_eq!(code, Some(1), "{report}");
    let failures = failures(&report);
    // The model says 1 for every negative image: that example passes.
    assert_eq!(failures.len(), 4, "{report}");
    assert_eq!(failures[0].0, "example `01_is_2.png`");
    assert!(failures[0].1.contains("largest difference") && failures[0].1.contains("tolerance 0.001"));
}

#[test]
fn a_package_without_examples_passes_and_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let package = copied(&repository().join("models/digits"), folder.path(), |_| ());
    fs::remove_dir_all(package.join("examples")).unwrap();
    let (code, report) = checked(&package);
    assert_eq!(code, Some(0), "{report}");
    let last = report["checks"].as_array().unwrap().last().unwrap();
    assert!(last["detail"].as_str().unwrap().contains("--help` tells how to add some"), "{report}");
}

#[test]
fn faults_before_the_examples_and_wrong_usage_have_their_exit_codes() {
    let folder = tempfile::tempdir().unwrap();
    let package = copied(&repository().join("models/digits"), folder.path(), |config| {
        config["output_config"]["output_classes"].as_array_mut().unwrap().pop();
    });
    let (code, report) = checked(&package);
    assert_eq!(code, Some(1), "{report}");
    assert_eq!(failures(&report)[0].0, "model", "{report}");
    assert!(failures(&report)[0].1.contains("9 labels"), "{report}");

    fs::write(package.join("digits_config.json"), "{").unwrap();
    let (code, report) = checked(&package);
    assert_eq!((code, failures(&report)[0].0.as_str()), (Some(1), "config"), "{report}");
    for (words, code) in [(vec!["check"], 2), (vec!["check", ".."], 2), (vec!["check", "no_such_package"], 1)]
    {
        assert_eq!(command(&words).output().unwrap().status.code(), Some(code), "{words:?}");
    }
}
