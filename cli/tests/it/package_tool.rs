//! Packages that `tools/package_model.py` creates: see `tools/parity/make_packages.py`, which creates one for every
//! recipe. The scores are Keras's, from pixel values of the recipe's framework.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;

use crate::check::{checked, failures};
use crate::serve::server::repository;

#[derive(Deserialize)]
struct Made {
    /// Packages whose config says how the images were read.
    right: Vec<String>,
    /// An impossible request, and the tool's message.
    refused: HashMap<String, String>,
}

/// A line of the report.
struct Example {
    image: String,
    difference: f64,
    tolerance: f64,
}

/// Largest difference for a lossless file, of the largest score: float32 on both sides, equal pixel values.
const LOSSLESS: f64 = 2e-5;

#[test]
fn packages_made_by_the_tool_prove_what_their_config_says() {
    let folder = tempfile::tempdir().unwrap();
    let made = make(folder.path());
    assert!(made.right.len() >= 20, "{:?}", made.right);
    for name in &made.right {
        passes(&folder.path().join("models").join(name));
    }
    // Grey is the same in either order.
    fails(&folder.path().join("models/bgr_for_rgb"), &["grey.png"]);
    fails(&folder.path().join("models/another_resampling"), &[]);
    every_refusal_says_what_was_expected(&made.refused);
}

/// The help must work before anything is installed.
#[test]
fn the_tools_help_needs_no_package_of_python() {
    // Without site-packages.
    let help = Command::new(repository().join(".cache/python/bin/python"))
        .args(["-I", "-S"])
        .arg(repository().join("tools/package_model.py"))
        .arg("--help")
        .output()
        .unwrap();
    assert!(help.status.success(), "{}", String::from_utf8_lossy(&help.stderr));
    assert!(String::from_utf8_lossy(&help.stdout).contains("--interpolation"));
}

fn make(folder: &Path) -> Made {
    let made = Command::new(repository().join(".cache/python/bin/python"))
        .arg(repository().join("tools/parity/make_packages.py"))
        .arg(folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    serde_json::from_slice(&fs::read(folder.join("made.json")).unwrap()).unwrap()
}

/// All images have Keras's scores.
fn passes(package: &Path) {
    let (code, report) = checked(package);
    assert_eq!(code, Some(0), "{report:#}");
    let examples = examples(&report);
    assert!(examples.len() >= 7, "{report:#}");
    for Example { image, difference, tolerance } in examples {
        // JPEG, OpenCV's cubic interpolation and Pillow's filters have a larger one.
        let is_exact = tolerance < 0.002;
        assert!(!is_exact || difference < LOSSLESS, "{}: {image} {difference}", package.display());
    }
}

/// Every image fails except these, each with its name and difference.
fn fails(package: &Path, except: &[&str]) {
    let (code, report) = checked(package);
    assert_eq!(code, Some(1), "{report:#}");
    let failures = failures(&report);
    for Example { image, .. } in examples(&report) {
        let is_right = except.iter().any(|name| image == format!("example `{name}`"));
        let told = failures.iter().find(|(check, _)| *check == image);
        assert_eq!(told.is_none(), is_right, "{image}: {report:#}");
        assert!(told.is_none_or(|(_, detail)| detail.contains("largest difference")), "{report:#}");
    }
}

/// The lines about examples.
fn examples(report: &Value) -> Vec<Example> {
    let checks = report["checks"].as_array().unwrap().iter();
    checks
        .filter_map(|check| {
            Some(Example {
                image: check["check"].as_str()?.to_owned(),
                difference: check["difference"].as_f64()?,
                tolerance: check["tolerance"].as_f64()?,
            })
        })
        .collect()
}

fn every_refusal_says_what_was_expected(refused: &HashMap<String, String>) {
    let recipes = "expected one of `image_dataset_from_directory`, `image_ops_fit`, `load_img`, `opencv`, `pad`, `tf_image`, \
                   `torchvision`";
    let broken = |framework: &str| format!("broken.png` cannot be read by {framework}");
    let expected = [
        ("exists", "models/flow` exists already"),
        ("recipe", recipes),
        ("setting", "a setting of `load_img` is `crop_to_aspect_ratio`, expected one of `rescale`"),
        ("interpolation", "is `hamming`, expected one of `nearest`, `box`"),
        ("keras", "pad_to_aspect_ratio"),
        ("labels", "there are 2 labels, expected 5 for a model of 5 outputs"),
        ("doubled", "the label `quay` stands for several outputs"),
        ("blank", "a label is blank, expected a name for each output"),
        ("values in a row", "values in a row: expected `size`, the height and width of an image of as many"),
        ("logits", "ends in `linear`, whose outputs are no scores: expected `activation` softmax or sigmoid"),
        ("twice", "but the model ends in softmax already"),
        ("size", "takes images of any size, (None, None, None, 3): expected `size`"),
        ("model", "text.h5` is no model that Keras saved"),
        ("name", "the name is `.new`"),
        ("ending", "flower.jpg_large` is left out by `image_dataset_from_directory`, expected .png, .jpg"),
        ("named", "the recipe is `load_img-256`, expected one of `image_dataset_from_directory`"),
        ("count", "there are 65 images, expected 1 to 64"),
    ];
    for (what, words) in expected {
        assert!(refused[what].contains(words), "{what}: {:?} should hold {words:?}", refused[what]);
    }
    for (recipe, framework) in [
        ("image_dataset_from_directory", "TensorFlow"),
        ("tf_image", "TensorFlow"),
        ("load_img", "Pillow"),
        ("image_ops_fit", "Pillow"),
        ("torchvision", "Pillow"),
        ("opencv", "OpenCV"),
        ("pad", "OpenCV"),
    ] {
        let said = &refused[&format!("broken {recipe}")];
        assert!(said.contains(&broken(framework)), "{recipe}: {said:?}");
    }
    assert_eq!(refused.len(), expected.len() + 7, "{refused:?}");
}
