//! `output_postproc_type` and `output_config`: from the model's outputs to labels.

use serde_json::{Map, Value};

use super::labels::{ClassesFile, LabelFiles};
use super::{Problems, describe};

/// How the model's output becomes labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Postprocessing {
    /// The labels, at least one.
    pub classes: Vec<String>,
    /// Which of the model's outputs has the scores; optional for a model with one output.
    pub output_name: Option<String>,
    /// How outputs become scores.
    pub activation: OutputActivation,
    /// How scores become labels.
    pub rule: LabelRule,
}

/// `output_postproc_type` with its settings.
#[derive(Debug, Clone, PartialEq)]
pub enum LabelRule {
    /// `argmax`: label and score of the largest output.
    Argmax,
    /// `top_k`: as `argmax`, and the best scores, also if a request does not ask for them.
    TopK {
        /// Number of scores, from 1 to the number of labels.
        k: u32,
    },
    /// `multi_label`: as `argmax`, and every label whose score reaches its threshold.
    MultiLabel {
        /// The least score of each label, from 0 to 1.
        thresholds: Vec<f32>,
    },
    /// `binary`: one output, the score of the second of two labels; the first has the rest of 1.
    Binary {
        /// The least score of the second label, from 0 to 1.
        threshold: f32,
    },
}

/// `output_config.activation`: the last activation of a model that ends in logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputActivation {
    /// None: the outputs are scores.
    None,
    /// `exp(x) / sum(exp(x))` over the outputs.
    Softmax,
    /// `1 / (1 + exp(-x))` of each.
    Sigmoid,
}

/// The rules' names in a config.
const KINDS: [(&str, Kind); 4] = [
    ("argmax", Kind::Argmax),
    ("top_k", Kind::TopK),
    ("multi_label", Kind::MultiLabel),
    ("binary", Kind::Binary),
];

/// The values of `output_postproc_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Argmax,
    TopK,
    MultiLabel,
    Binary,
}

/// The default threshold.
const HALF: f32 = 0.5;

impl LabelRule {
    /// Returns its name in a config.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Argmax => "argmax",
            Self::TopK { .. } => "top_k",
            Self::MultiLabel { .. } => "multi_label",
            Self::Binary { .. } => "binary",
        }
    }
}

impl Postprocessing {
    /// Returns the labels.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Returns the number of outputs that the model must have.
    #[must_use]
    pub fn outputs(&self) -> usize {
        match self.rule {
            LabelRule::Argmax | LabelRule::TopK { .. } | LabelRule::MultiLabel { .. } => self.classes.len(),
            LabelRule::Binary { .. } => 1,
        }
    }
}

/// Parses a config's output section, and its file of labels if there is one. Problems are collected.
pub(super) fn parse(
    root: &Map<String, Value>,
    files: LabelFiles<'_>,
    problems: &mut Problems,
) -> (Option<Postprocessing>, Option<ClassesFile>) {
    let kind = problems.choice(root, "output_postproc_type", &KINDS);
    let own = match kind {
        Some(Kind::TopK) => Some("k"),
        Some(Kind::MultiLabel | Kind::Binary) => Some("threshold"),
        Some(Kind::Argmax) | None => None,
    };
    let known: Vec<&str> = ["output_classes", "output_classes_file", "activation", "output_name"]
        .into_iter()
        .chain(own)
        .collect();
    let Some(section) = problems.section(root, "output_config", &known) else { return (None, None) };
    let output_name = output_name(section, problems);
    let activation = activation(section, problems);
    let (classes, file) = classes(section, files, problems);
    let labels = classes.as_ref().map(Vec::len);
    let rule = kind.and_then(|kind| match kind {
        Kind::TopK => top_k(section, labels, problems),
        Kind::MultiLabel => thresholds(section, labels, problems),
        Kind::Binary => binary(section, labels, activation, problems),
        Kind::Argmax => Some(LabelRule::Argmax),
    });
    let postprocessing = classes
        .zip(activation)
        .zip(rule)
        .map(|((classes, activation), rule)| Postprocessing { classes, output_name, activation, rule });
    (postprocessing, file)
}

fn output_name(section: &Map<String, Value>, problems: &mut Problems) -> Option<String> {
    let value = section.get("output_name")?;
    let name = value.as_str().filter(|name| !name.is_empty());
    if name.is_none() {
        problems.add(format!(
            "`output_config.output_name` is {value}, expected the name of the model's output with the scores"
        ));
    }
    name.map(str::to_owned)
}

fn activation(section: &Map<String, Value>, problems: &mut Problems) -> Option<OutputActivation> {
    if !section.contains_key("activation") {
        return Some(OutputActivation::None);
    }
    let known = [
        ("none", OutputActivation::None),
        ("softmax", OutputActivation::Softmax),
        ("sigmoid", OutputActivation::Sigmoid),
    ];
    problems.choice(section, "activation", &known)
}

/// Returns the labels, from the config or its file of labels.
fn classes(
    section: &Map<String, Value>,
    files: LabelFiles<'_>,
    problems: &mut Problems,
) -> (Option<Vec<String>>, Option<ClassesFile>) {
    const EXPECTED: &str = "expected a list of labels, one for each output of the model";
    let listed = section.get("output_classes").map(|value| {
        let classes = super::labels::list(value);
        if classes.is_none() {
            problems.add(format!("`output_config.output_classes` is {}, {EXPECTED}", describe(value)));
        }
        classes
    });
    let read = section.get("output_classes_file").map(|value| {
        let read = match value.as_str() {
            Some(path) => files.read(path),
            None => Err(format!("is {}, expected the path of a file in the package", describe(value))),
        };
        read.map_err(|fault| problems.add(format!("`output_config.output_classes_file` {fault}"))).ok()
    });
    match (listed, read) {
        (None, None) => {
            problems.add(format!(
                "`output_config.output_classes` is missing, {EXPECTED}, or `output_classes_file`"
            ));
            (None, None)
        }
        (Some(_), Some(_)) => {
            problems.add(
                "`output_config` has `output_classes` and `output_classes_file`, expected one of the two",
            );
            (None, None)
        }
        (Some(classes), None) => (classes, None),
        (None, Some(Some((classes, file)))) => (Some(classes), Some(file)),
        (None, Some(None)) => (None, None),
    }
}

fn top_k(section: &Map<String, Value>, labels: Option<usize>, problems: &mut Problems) -> Option<LabelRule> {
    let most = labels.and_then(|count| u32::try_from(count).ok()).unwrap_or(u32::MAX);
    let expected = || {
        let most = labels.map_or_else(|| "the number of labels".to_owned(), |_| most.to_string());
        format!("expected how many scores each result has, from 1 to {most}")
    };
    let Some(value) = section.get("k") else {
        problems.add(format!("`output_config.k` is missing, {}", expected()));
        return None;
    };
    let k = value.as_u64().and_then(|k| u32::try_from(k).ok()).filter(|k| (1..=most).contains(k));
    if k.is_none() {
        problems.add(format!("`output_config.k` is {value}, {}", expected()));
    }
    k.map(|k| LabelRule::TopK { k })
}

fn thresholds(
    section: &Map<String, Value>,
    labels: Option<usize>,
    problems: &mut Problems,
) -> Option<LabelRule> {
    let Some(value) = section.get("threshold") else {
        return labels.map(|count| LabelRule::MultiLabel { thresholds: vec![HALF; count] });
    };
    let read: Option<Vec<f32>> = match value {
        Value::Array(list) => list.iter().map(threshold).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            threshold(value).map(|threshold| vec![threshold; labels.unwrap_or(0)])
        }
    };
    let Some(thresholds) = read else {
        problems.add("`output_config.threshold` is neither a number from 0 to 1 nor a list of such");
        return None;
    };
    let labels = labels?;
    if thresholds.len() != labels {
        problems.add(format!(
            "`output_config.threshold` has {} numbers, expected 1 for each of {labels} labels",
            thresholds.len()
        ));
        return None;
    }
    Some(LabelRule::MultiLabel { thresholds })
}

fn binary(
    section: &Map<String, Value>,
    labels: Option<usize>,
    activation: Option<OutputActivation>,
    problems: &mut Problems,
) -> Option<LabelRule> {
    if let Some(labels) = labels.filter(|labels| *labels != 2) {
        problems.add(format!("`output_config.output_classes` has {labels} labels, expected 2"));
    }
    if activation == Some(OutputActivation::Softmax) {
        problems.add("`output_config.activation` is \"softmax\", which makes 1 of any single output");
    }
    let threshold = section.get("threshold").map_or(Some(HALF), threshold);
    if threshold.is_none() {
        problems.add("`output_config.threshold` is not a number from 0 to 1");
    }
    threshold.map(|threshold| LabelRule::Binary { threshold })
}

fn threshold(value: &Value) -> Option<f32> {
    #[expect(clippy::cast_possible_truncation, reason = "the model computes in float32")]
    value.as_f64().filter(|threshold| (0.0..=1.0).contains(threshold)).map(|threshold| threshold as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &str, section: &str) -> Result<Postprocessing, Vec<String>> {
        let text = format!(r#"{{"output_postproc_type": "{kind}", "output_config": {section}}}"#);
        let root: Value = serde_json::from_str(&text).unwrap();
        let mut problems = Problems(Vec::new());
        let (found, _) = parse(root.as_object().unwrap(), LabelFiles::none(), &mut problems);
        if problems.0.is_empty() { Ok(found.unwrap()) } else { Err(problems.0) }
    }

    #[test]
    fn every_kind_is_read_with_its_settings() {
        let two = r#""output_classes": ["cat", "dog"]"#;
        for (kind, settings, rule) in [
            ("argmax", "", LabelRule::Argmax),
            ("top_k", r#", "k": 2"#, LabelRule::TopK { k: 2 }),
            ("multi_label", "", LabelRule::MultiLabel { thresholds: vec![0.5, 0.5] }),
            ("multi_label", r#", "threshold": 0.25"#, LabelRule::MultiLabel { thresholds: vec![0.25, 0.25] }),
            ("multi_label", r#", "threshold": [0, 1]"#, LabelRule::MultiLabel { thresholds: vec![0.0, 1.0] }),
            ("binary", "", LabelRule::Binary { threshold: 0.5 }),
            ("binary", r#", "threshold": 0.75"#, LabelRule::Binary { threshold: 0.75 }),
        ] {
            let found = read(kind, &format!("{{{two}{settings}}}")).unwrap();
            assert_eq!((found.rule.name(), &found.rule), (kind, &rule), "{settings}");
            assert_eq!(found.outputs(), if kind == "binary" { 1 } else { 2 });
        }
        for (name, activation) in [
            ("none", OutputActivation::None),
            ("softmax", OutputActivation::Softmax),
            ("sigmoid", OutputActivation::Sigmoid),
        ] {
            for kind in ["argmax", "top_k", "multi_label"] {
                let k = if kind == "top_k" { r#", "k": 1"# } else { "" };
                let found = read(kind, &format!(r#"{{{two}, "activation": "{name}"{k}}}"#)).unwrap();
                assert_eq!(found.activation, activation, "{kind}");
            }
        }
    }

    #[test]
    fn the_output_with_the_scores_may_be_named() {
        let found = read("argmax", r#"{"output_classes": ["cat"], "output_name": "animal"}"#).unwrap();
        assert_eq!(found.output_name.as_deref(), Some("animal"));
        assert_eq!(read("argmax", r#"{"output_classes": ["cat"]}"#).unwrap().output_name, None);
    }

    #[test]
    fn faults_are_told_at_once_and_say_what_was_expected() {
        for (kind, section, expected) in [
            (
                "top_k",
                r#"{"output_classes": ["a", "b"]}"#,
                &["`output_config.k` is missing, expected how many scores each result has, from 1 to 2"][..],
            ),
            ("top_k", r#"{"output_classes": ["a", "b"], "k": 3}"#, &["`output_config.k` is 3"]),
            (
                "top_k",
                r#"{"output_classes": 7, "k": 0, "activation": "relu"}"#,
                &[
                    "`activation` is \"relu\"",
                    "`output_config.output_classes` is a number",
                    "`output_config.k` is 0",
                ],
            ),
            (
                "argmax",
                r#"{"output_classes": ["a"], "k": 1}"#,
                &[
                    "unknown key `k`, known are `output_classes`, `output_classes_file`, `activation`, `output_name`",
                ],
            ),
            (
                "multi_label",
                r#"{"output_classes": ["a", "b"], "threshold": [0.5]}"#,
                &["`output_config.threshold` has 1 numbers, expected 1 for each of 2 labels"],
            ),
            (
                "multi_label",
                r#"{"output_classes": ["a", "b"], "threshold": [0.5, 2]}"#,
                &["`output_config.threshold` is neither a number from 0 to 1"],
            ),
            (
                "multi_label",
                r#"{"output_classes": ["a", "b"], "threshold": "half"}"#,
                &["`output_config.threshold` is neither"],
            ),
            (
                "binary",
                r#"{"output_classes": ["a", "b", "c"], "activation": "softmax", "threshold": -1}"#,
                &[
                    "has 3 labels, expected 2",
                    "makes 1 of any single output",
                    "`output_config.threshold` is not",
                ],
            ),
            (
                "argmax",
                r#"{"output_classes": ["a"], "output_classes_file": "labels.txt"}"#,
                &["`output_config.output_classes_file` is", "expected one of the two"],
            ),
            (
                "argmax",
                r#"{"output_classes_file": 3}"#,
                &["`output_config.output_classes_file` is a number, expected the path"],
            ),
            (
                "argmax",
                r#"{"output_classes": ["a"], "output_name": 0}"#,
                &["`output_config.output_name` is 0, expected the name of the model's output"],
            ),
            (
                "argmax",
                r#"{"output_classes": ["a"], "output_name": ""}"#,
                &["`output_config.output_name` is \"\""],
            ),
            ("argmax", "{}", &["`output_config.output_classes` is missing"]),
        ] {
            let problems = read(kind, section).unwrap_err();
            assert_eq!(problems.len(), expected.len(), "{section}: {problems:#?}");
            for (problem, part) in problems.iter().zip(expected) {
                assert!(problem.contains(part), "{problem:?} should hold {part:?}");
            }
        }
    }
}
