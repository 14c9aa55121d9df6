//! Runs a package's examples like images of requests: decoded, preprocessed, classified.

use std::fmt;
use std::fs;
use std::path::Path;

use common::messages::ImageOutcome;
use common::package::examples::{self, Example};
use common::package::{Package, config::Postprocessing};

use crate::pipeline::postprocess::postprocess;
use crate::pipeline::prepare;
use engine::{Batch, Engine, LoadError};
use images::decode::DecodeLimits;

/// The result of an example.
#[derive(Debug, Clone, PartialEq)]
pub struct ExampleOutcome {
    /// The image, as the package names it.
    pub image: String,
    /// The largest accepted difference.
    pub tolerance: f32,
    /// How the scores compare, or why there are none.
    pub found: Result<Comparison, String>,
}

/// The model's scores compared with the expected ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The largest absolute difference of a score, as a fraction of [`Self::largest`].
    pub difference: f32,
    /// The largest absolute value of the expected scores; 1 if all are 0.
    pub largest: f32,
    /// The label for a request.
    pub label: String,
    /// The label of the expected scores.
    pub expected: String,
}

impl ExampleOutcome {
    /// Returns whether the scores are close enough and the label is right.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.found
            .as_ref()
            .is_ok_and(|found| found.difference <= self.tolerance && found.label == found.expected)
    }
}

impl fmt::Display for ExampleOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "example `{}`: ", self.image)?;
        let found = match &self.found {
            Ok(found) => found,
            Err(reason) => return f.write_str(reason),
        };
        let Comparison { difference, largest, label, expected } = found;
        write!(f, "largest difference ")?;
        if *difference < 1e-3 {
            write!(f, "{difference:.1e}")?
        } else {
            write!(f, "{difference:.3}")?
        }
        let tolerance = self.tolerance;
        write!(f, " of the largest expected score ({largest:.4}), tolerance {tolerance}; label `{label}`")?;
        if label == expected { Ok(()) } else { write!(f, ", expected `{expected}`") }
    }
}

/// Runs the package's own examples and refuses the package if one fails. Blocks.
///
/// # Errors
/// [`LoadError::Unservable`] with every example that fails.
pub fn verify(package: &Package, engine: &dyn Engine) -> Result<(), LoadError> {
    let examples = examples::open(package).map_err(LoadError::Unservable)?;
    let problems: Vec<String> = run(package, engine, &examples)
        .iter()
        .filter(|outcome| !outcome.passed())
        .map(ToString::to_string)
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(LoadError::Unservable(problems)) }
}

/// Runs examples of a package in sequence. Blocks.
#[must_use]
pub fn run(package: &Package, engine: &dyn Engine, examples: &[Example]) -> Vec<ExampleOutcome> {
    examples
        .iter()
        .map(|example| ExampleOutcome {
            image: example.image.clone(),
            tolerance: example.tolerance,
            found: scores(package, engine, &example.path)
                .and_then(|scores| compare(&scores, &example.scores, &package.config.postprocessing)),
        })
        .collect()
}

/// Returns the model's outputs for an image file, before an activation of the config. Blocks.
///
/// # Errors
/// The image is not read or the model does not run: a sentence.
pub fn scores(package: &Package, engine: &dyn Engine, image: &Path) -> Result<Vec<f32>, String> {
    let how = &package.config.preprocessing;
    let bytes = fs::read(image).map_err(|error| format!("its image cannot be read: {error}"))?;
    let pixels = prepare(&bytes, how, &DecodeLimits::default(), &|| true).map_err(|error| error.detail)?;
    let batch = Batch::new(1, how.input_shape, pixels);
    engine.predict(&batch).map(|scores| scores.values).map_err(|error| error.to_string())
}

fn compare(found: &[f32], expected: &[f32], how: &Postprocessing) -> Result<Comparison, String> {
    let label = |scores: &[f32]| match postprocess(scores, how, None) {
        ImageOutcome::Classified { best, .. } => Ok(best.label),
        ImageOutcome::Rejected(error) => Err(error.detail),
    };
    let magnitude = |values: &mut dyn Iterator<Item = f32>| values.map(f32::abs).fold(0.0, f32::max);
    let largest = match magnitude(&mut expected.iter().copied()) {
        0.0 => 1.0,
        largest => largest,
    };
    // Scores that are not finite, or too few, have no label.
    let (label, expected_label) = (label(found)?, label(expected)?);
    let difference = magnitude(&mut found.iter().zip(expected).map(|(found, expected)| found - expected));
    Ok(Comparison { difference: difference / largest, largest, label, expected: expected_label })
}

#[cfg(test)]
mod tests {
    use common::package::config::{LabelRule, OutputActivation};

    use super::*;

    fn check(found: &[f32], expected: &[f32], tolerance: f32, says: Result<f32, &str>) {
        let how = Postprocessing {
            classes: ["cat", "dog"].map(str::to_owned).to_vec(),
            output_name: None,
            activation: OutputActivation::None,
            rule: LabelRule::Argmax,
        };
        let outcome =
            ExampleOutcome { image: "a.png".to_owned(), tolerance, found: compare(found, expected, &how) };
        assert_eq!(outcome.passed(), says.is_ok(), "{outcome}");
        match says {
            Ok(difference) => assert!((outcome.found.unwrap().difference - difference).abs() < 1e-6),
            Err(words) => assert!(outcome.to_string().contains(words), "{outcome}"),
        }
    }

    #[test]
    fn differences_are_shares_of_the_largest_expected_score() {
        check(&[1.0, 10.0], &[1.0, 10.0], 0.0, Ok(0.0));
        check(&[1.5, 10.0], &[1.0, 10.0], 0.06, Ok(0.05));
        check(&[1.5, 10.0], &[1.0, 10.0], 0.04, Err("largest difference 0.050"));
        check(&[-9.0, 1.0], &[-10.0, 1.0], 0.2, Ok(0.1));
        check(&[0.0, 0.0], &[0.0, 0.0], 0.0, Ok(0.0));
    }

    #[test]
    fn another_label_fails_however_near_the_scores_are() {
        check(&[0.500_001, 0.5], &[0.5, 0.500_001], 0.1, Err("label `cat`, expected `dog`"));
    }

    #[test]
    fn scores_that_are_no_numbers_or_too_few_fail() {
        check(&[f32::NAN, 1.0], &[0.0, 1.0], 1.0, Err("expected finite numbers"));
        check(&[1.0], &[0.0, 1.0], 1.0, Err("the model gave 1 scores"));
    }
}
