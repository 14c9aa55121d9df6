//! `classifier package` and `classifier examples`: packages written by the command, with today's scores.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::check::{checked, failures};
use crate::serve::server::{command, repository};
use testing::numbers::largest_difference;

fn run(words: &[&str]) -> Output {
    command(words).output().unwrap()
}

fn check(output: &Output, code: i32, says: &str) {
    let text = String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(text.contains(says), "{says:?} is not in\n{text}");
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The scores of each image in a list of examples.
fn scores(list: &Value, image: &str) -> Vec<f32> {
    let examples = list["examples"].as_array().unwrap();
    let example =
        examples.iter().find(|example| example["image"] == image).unwrap_or_else(|| panic!("{image}"));
    serde_json::from_value(example["scores"].clone()).unwrap()
}

#[test]
fn examples_have_the_scores_that_keras_gives_and_fail_when_something_changes() {
    let models = tempfile::tempdir().unwrap();
    let package = models.path().join("digits");
    fs::create_dir(&package).unwrap();
    for file in ["digits.hdf5", "digits_config.json"] {
        fs::copy(repository().join("models/digits").join(file), package.join(file)).unwrap();
    }
    let path = package.to_str().unwrap();
    check(&run(&["examples", path, "demo/images"]), 0, "12 examples of package `digits` are recorded");
    let recorded = json(&package.join("examples/examples.json"));
    let of_keras = json(&repository().join("models/digits/examples/examples.json"));
    for example in of_keras["examples"].as_array().unwrap() {
        let image = example["image"].as_str().unwrap();
        let difference = largest_difference(&scores(&recorded, image), &scores(&of_keras, image));
        assert!(difference < 1e-5, "{image}: {difference}");
    }
    let (code, report) = checked(&package);
    assert_eq!(code, Some(0), "{report:#}");

    check(
        &run(&["examples", path, "demo/images/01_is_2.png"]),
        2,
        "has examples already: --overwrite replaces them",
    );
    check(&run(&["examples", path, "demo/images/01_is_2.png", "--overwrite"]), 0, "1 examples");
    // Another scale, as an update of the service with a fault would have.
    let config = package.join("digits_config.json");
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.contains("255"), "{text}");
    fs::write(&config, text.replace("255", "-255")).unwrap();
    let (code, report) = checked(&package);
    assert_eq!((code, failures(&report).len()), (Some(1), 1), "{report:#}");
    let left: Vec<_> = fs::read_dir(&package).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[test]
fn what_is_no_image_is_named_and_nothing_is_recorded() {
    let models = tempfile::tempdir().unwrap();
    let model = "models/digits/digits.hdf5";
    let words = ["package", model, "--recipe", "opencv-255", "--models-dir", models.path().to_str().unwrap()];
    check(
        &run(&words),
        0,
        "pixels: BGR 0–255 divided by 255, stretched to 32×32 with OpenCV's linear, as --recipe opencv-255 says",
    );
    let package = models.path().join("digits");
    let bad = models.path().join("bad.png");
    fs::write(&bad, "no image").unwrap();
    let words = ["examples", package.to_str().unwrap(), "demo/images/01_is_2.png", bad.to_str().unwrap()];
    check(&run(&words), 1, "`bad.png`:");
    assert!(!package.join("examples").exists());
}

#[test]
fn a_package_is_written_whole_and_replaced_only_when_asked() {
    let models = tempfile::tempdir().unwrap();
    let folder = models.path().to_str().unwrap();
    let package = |more: &[&str]| {
        let words =
            ["package", "models/digits/digits.hdf5", "--recipe", "opencv-255", "--models-dir", folder];
        run(&[&words, more].concat())
    };
    check(&package(&["--labels", "a,b,c,d,e,f,g,h,i,j"]), 0, "10 from --labels: a, b, c, d, e, …");
    let config = json(&models.path().join("digits/digits_config.json"));
    assert_eq!(config["output_config"]["output_classes"][9], "j", "{config}");
    let (code, report) = checked(&models.path().join("digits"));
    assert_eq!(code, Some(0), "{report:#}");
    check(&package(&[]), 2, "exists already: choose another --name, or --overwrite it");
    check(&package(&["--overwrite"]), 0, "labels: class_0 to class_9");
    check(&package(&["--name", "other"]), 0, "other");
    fs::create_dir(models.path().join("mine")).unwrap();
    check(&package(&["--name", "mine", "--overwrite"]), 2, "is no package, so it is not overwritten");
    check(&run(&["package", "models/digits"]), 2, "is a package already");
    let mut left: Vec<_> =
        fs::read_dir(models.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["digits", "mine", "other"]);
}
