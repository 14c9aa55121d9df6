//! A package's examples: images with the expected scores.
//!
//! ```text
//! models/NAME/examples/examples.json     {"tolerance": 0.001, "examples": [{"image": "dog.png", "scores": […]}]}
//! models/NAME/examples/dog.png
//! ```
//!
//! They are not part of the package's version: the model is the same without them. Images are not decoded and the model
//! is not run here: the worker does that.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde::Deserialize;

use super::config::BYTE_ORDER_MARK;
use super::inside::file_inside;
use super::{Package, read_config};

/// The folder in a package's folder.
pub const FOLDER: &str = "examples";

/// The file in that folder that lists the images.
pub const LIST: &str = "examples.json";

/// Most examples of a package. Every worker runs all of them before it serves the package.
pub const MAX_EXAMPLES: usize = 64;

/// Largest image, in bytes.
pub const MAX_IMAGE_BYTES: u64 = 10 << 20;

/// Default tolerance. Scores of the same pixels on two machines are a hundred times closer.
pub const DEFAULT_TOLERANCE: f32 = 1e-3;

/// An image and its expected scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// The image, as the list names it.
    pub image: String,
    /// Its path.
    pub path: PathBuf,
    /// The outputs of Keras's `predict`: finite, as many as the package's outputs.
    pub scores: Vec<f32>,
    /// The largest accepted difference, as a fraction of the largest score. From 0 to 1.
    pub tolerance: f32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawList {
    tolerance: Option<f32>,
    examples: Vec<RawExample>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExample {
    image: String,
    scores: Vec<f32>,
    tolerance: Option<f32>,
}

/// Reads the package's examples; empty without a list. Blocks on disk.
///
/// # Errors
/// All problems, one sentence each.
pub fn open(package: &Package) -> Result<Vec<Example>, Vec<String>> {
    let path = package.folder().join(FOLDER).join(LIST);
    let fault = |fact: String| vec![format!("`{FOLDER}/{LIST}` {fact}")];
    let bytes = match read_config(&path) {
        Ok(bytes) => bytes,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(fault(format!("cannot be read: {error}"))),
    };
    let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes);
    let list: RawList = serde_json::from_slice(text)
        .map_err(|error| fault(format!("is not a list of images with scores: {error}")))?;
    if !(1..=MAX_EXAMPLES).contains(&list.examples.len()) {
        let count = list.examples.len();
        return Err(fault(format!("has {count} examples, expected 1 to {MAX_EXAMPLES}")));
    }
    let mut problems = Vec::new();
    let common = tolerance(list.tolerance, DEFAULT_TOLERANCE).unwrap_or_else(|fact| {
        problems.extend(fault(fact));
        DEFAULT_TOLERANCE
    });
    let mut examples = Vec::new();
    for raw in list.examples {
        let name = raw.image.clone();
        match example(raw, package, common) {
            Ok(example) => examples.push(example),
            Err(facts) => problems.extend(facts.into_iter().map(|fact| format!("example `{name}`: {fact}"))),
        }
    }
    if problems.is_empty() { Ok(examples) } else { Err(problems) }
}

fn example(raw: RawExample, package: &Package, common: f32) -> Result<Example, Vec<String>> {
    let mut problems = Vec::new();
    let file = file_inside(&package.folder().join(FOLDER), &raw.image)
        .map_err(|fact| format!("its `image` {fact}"))
        .and_then(|path| match fs::metadata(&path) {
            Ok(file) if file.len() > MAX_IMAGE_BYTES => {
                Err(format!("its image has {} bytes, the limit is {MAX_IMAGE_BYTES}", file.len()))
            }
            Ok(_) => Ok(path),
            Err(error) => Err(format!("its image cannot be read: {error}")),
        });
    let path = file.unwrap_or_else(|fact| {
        problems.push(fact);
        PathBuf::new()
    });
    let outputs = package.config.postprocessing.outputs();
    if raw.scores.len() != outputs {
        problems.push(format!("it has {} `scores`, expected {outputs} by the config", raw.scores.len()));
    }
    // A number beyond float32's range is parsed as infinite.
    if raw.scores.iter().any(|score| !score.is_finite()) {
        problems.push("its `scores` hold a number that float32 does not hold".to_owned());
    }
    let tolerance = tolerance(raw.tolerance, common).unwrap_or_else(|fact| {
        problems.push(fact);
        common
    });
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Example { image: raw.image, path, scores: raw.scores, tolerance })
}

fn tolerance(given: Option<f32>, otherwise: f32) -> Result<f32, String> {
    match given {
        None => Ok(otherwise),
        Some(tolerance) if (0.0..=1.0).contains(&tolerance) => Ok(tolerance),
        Some(tolerance) => Err(format!("has the `tolerance` {tolerance}, expected a share from 0 to 1")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ModelName;
    use crate::package::Catalog;

    const CONFIG: &str = r#"{"img_preproc_type": "no_prepro", "output_postproc_type": "argmax",
        "image_preproc_config": {"input_shape": [2, 2, 3]}, "output_config": {"output_classes": ["a", "b"]}}"#;

    /// Creates a package with an image `a.png` and this list.
    fn package(list: Option<&str>) -> (tempfile::TempDir, Package) {
        let folder = tempfile::tempdir().unwrap();
        let examples = folder.path().join("m/examples");
        fs::create_dir_all(&examples).unwrap();
        fs::write(folder.path().join("m/m_config.json"), CONFIG).unwrap();
        fs::write(folder.path().join("m/m.hdf5"), "model").unwrap();
        fs::write(examples.join("a.png"), "image").unwrap();
        if let Some(list) = list {
            fs::write(examples.join(LIST), list).unwrap();
        }
        let package = Catalog::new(folder.path()).open(&ModelName::parse("m").unwrap()).unwrap();
        (folder, package)
    }

    #[test]
    fn a_byte_order_mark_is_skipped_and_a_pipe_is_not_waited_for() {
        let list = r#"{"examples": [{"image": "a.png", "scores": [0.25, 0.75]}]}"#;
        let (_folder, marked) = package(Some(&format!("\u{feff}{list}")));
        assert_eq!(open(&marked).unwrap().len(), 1);
        let path = marked.folder().join(FOLDER).join(LIST);
        fs::remove_file(&path).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        assert_eq!(open(&marked).unwrap_err(), ["`examples/examples.json` cannot be read: it is no file"]);
    }

    #[test]
    fn each_example_has_the_lists_tolerance_or_its_own() {
        for (list, expected) in [
            (r#"{"examples": [{"image": "a.png", "scores": [0, 1e0]}]}"#, [DEFAULT_TOLERANCE; 2]),
            (r#"{"tolerance": 0.25, "examples": [{"image": "a.png", "scores": [0, 1]}]}"#, [0.25; 2]),
            (
                r#"{"tolerance": 0.25, "examples": [{"image": "a.png", "scores": [0, 1], "tolerance": 0.5},
                    {"image": "./a.png", "scores": [0, 1]}]}"#,
                [0.5, 0.25],
            ),
        ] {
            let (_folder, package) = package(Some(list));
            let examples = open(&package).unwrap();
            for (example, tolerance) in examples.iter().zip(expected) {
                assert_eq!((example.scores.as_slice(), example.tolerance), (&[0.0, 1.0][..], tolerance));
                assert_eq!(fs::read_to_string(&example.path).unwrap(), "image");
            }
        }
    }

    #[test]
    fn a_package_may_have_none_and_they_change_no_version() {
        let (_folder, without) = package(None);
        assert_eq!(open(&without).unwrap(), []);
        let (_folder, with) = package(Some("{}"));
        assert_eq!(with.version, without.version);
    }

    #[test]
    fn every_fault_is_told_with_its_example() {
        let many = format!(
            r#"{{"examples": [{}]}}"#,
            vec![r#"{"image": "a.png", "scores": [0, 1]}"#; MAX_EXAMPLES + 1].join(",")
        );
        for (list, says) in [
            ("{", vec!["is not a list of images with scores"]),
            (r#"{"examples": [], "more": 1}"#, vec!["unknown field `more`"]),
            (r#"{"examples": []}"#, vec!["has 0 examples, expected 1 to 64"]),
            (&many, vec!["has 65 examples, expected 1 to 64"]),
            (
                r#"{"tolerance": 2, "examples": [
                    {"image": "a.png", "scores": [1]},
                    {"image": "../m_config.json", "scores": [0, 1]},
                    {"image": "none.png", "scores": [0, 1e300], "tolerance": -1}]}"#,
                vec![
                    "`examples/examples.json` has the `tolerance` 2",
                    "example `a.png`: it has 1 `scores`, expected 2",
                    "without `..`",
                    "there is no file",
                    "float32",
                    "example `none.png`: has the `tolerance` -1",
                ],
            ),
        ] {
            let (_folder, package) = package(Some(list));
            let problems = open(&package).unwrap_err();
            assert_eq!(problems.len(), says.len(), "{problems:#?}");
            for (problem, words) in problems.iter().zip(says) {
                assert!(problem.contains(words), "{problem:?} should hold {words:?}");
            }
        }
    }

    #[test]
    fn an_image_that_is_too_large_is_refused() {
        let (folder, package) = package(Some(r#"{"examples": [{"image": "a.png", "scores": [0, 1]}]}"#));
        let image = fs::File::options().write(true).open(folder.path().join("m/examples/a.png")).unwrap();
        image.set_len(MAX_IMAGE_BYTES + 1).unwrap();
        assert!(open(&package).unwrap_err()[0].contains("the limit is 10485760"));
    }
}
