//! Labels: of a flag, of a file beside the model, or numbers.

use std::path::Path;

use common::package::config::read_labels;

use super::choices::Choices;
use super::{Facts, Source};

/// The files of labels that people have beside a model.
const FILES: [&str; 3] = ["labels.txt", "class_names.txt", "class_indices.json"];

/// Labels and where they are from.
pub(super) struct Labels {
    /// One for each output; two for one output.
    pub(super) names: Vec<String>,
    /// Where they are from: a sentence.
    pub(super) told: String,
}

/// Finds the labels.
///
/// # Errors
/// They cannot be read or do not fit, or their number is not known.
pub(super) fn of(source: &Source, facts: &Facts, choices: &Choices) -> Result<Labels, String> {
    let expected = facts.scores.map(|scores| if scores == 1 { 2 } else { scores });
    let (names, from) = match &choices.labels {
        Some(given) => of_flag(given)?,
        None => match beside(&source.beside)? {
            Some(found) => found,
            None => return numbered(expected),
        },
    };
    if expected.is_some_and(|expected| expected != names.len()) {
        let (found, expected) = (names.len(), expected.unwrap_or(0));
        return Err(format!(
            "{from} has {found} labels, expected {expected} for the model's outputs. Say the file, or the labels in their \
             order:\n  --labels FILE\n  --labels cat,dog,…"
        ));
    }
    let (names, numbers) = without_numbers(names);
    let told = format!("{} from {from}{numbers}: {}", names.len(), some_of(&names));
    Ok(Labels { names, told })
}

fn of_flag(given: &str) -> Result<(Vec<String>, String), String> {
    let path = Path::new(given);
    if path.exists() {
        let names = read_labels(path).map_err(|fact| format!("--labels: `{given}` {fact}"))?;
        return Ok((names, given.to_owned()));
    }
    let names: Vec<String> = given.split(',').map(|name| name.trim().to_owned()).collect();
    if names.len() < 2 || names.iter().any(String::is_empty) {
        return Err(format!("--labels is `{given}`, expected a file, or labels with commas between"));
    }
    Ok((names, "--labels".to_owned()))
}

/// The file of labels beside a model. Two that say something else are a question.
fn beside(folder: &Path) -> Result<Option<(Vec<String>, String)>, String> {
    let mut found: Option<(Vec<String>, String)> = None;
    for file in FILES {
        let path = folder.join(file);
        if !path.exists() {
            continue;
        }
        let names = read_labels(&path).map_err(|fact| {
            format!("`{file}` beside the model {fact}. Say other labels:\n  --labels FILE")
        })?;
        match &found {
            Some((others, before))
                if without_numbers(others.clone()).0 != without_numbers(names.clone()).0 =>
            {
                return Err(format!(
                    "which labels? `{before}` and `{file}` beside the model differ. Say the file:\n  --labels FILE"
                ));
            }
            Some(_) => {}
            None => found = Some((names, file.to_owned())),
        }
    }
    Ok(found)
}

fn numbered(count: Option<usize>) -> Result<Labels, String> {
    let Some(count) = count else {
        return Err(
            "how many labels are there? The model does not tell. Say them:\n  --labels FILE".to_owned()
        );
    };
    let names: Vec<String> = (0..count).map(|index| format!("class_{index}")).collect();
    let told = format!(
        "class_0 to class_{}, for there is no {} beside the model; --labels names them",
        count.saturating_sub(1),
        FILES.join(", ")
    );
    Ok(Labels { names, told })
}

/// Teachable Machine numbers its lines: `0 cat`, `1 dog`.
fn without_numbers(names: Vec<String>) -> (Vec<String>, &'static str) {
    let bare: Option<Vec<String>> = names
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let name = name.strip_prefix(&index.to_string())?.strip_prefix(' ')?.trim();
            (!name.is_empty()).then(|| name.to_owned())
        })
        .collect();
    match bare {
        Some(bare) => (bare, ", without their numbers"),
        None => (names, ""),
    }
}

fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let more = if names.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dropped_where_every_line_has_its_own() {
        let check = |names: &[&str], expected: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(without_numbers(names).0, expected);
        };
        check(&["0 cat", "1 dog house"], &["cat", "dog house"]);
        check(&["0", "1"], &["0", "1"]);
        check(&["1 cat", "2 dog"], &["1 cat", "2 dog"]);
        check(&["0 cat", "dog"], &["0 cat", "dog"]);
        check(&["0 ", "1 dog"], &["0 ", "1 dog"]);
    }

    #[test]
    fn two_files_of_labels_that_differ_are_a_question() {
        let folder = tempfile::tempdir().unwrap();
        assert!(beside(folder.path()).unwrap().is_none());
        std::fs::write(folder.path().join("labels.txt"), "0 cat\n1 dog\n").unwrap();
        std::fs::write(folder.path().join("class_indices.json"), r#"{"dog": 1, "cat": 0}"#).unwrap();
        assert_eq!(beside(folder.path()).unwrap().unwrap().1, "labels.txt");
        std::fs::write(folder.path().join("class_names.txt"), "cat\ndog").unwrap();
        assert_eq!(beside(folder.path()).unwrap().unwrap().1, "labels.txt");
        std::fs::write(folder.path().join("class_indices.json"), r#"{"dog": 0, "cat": 1}"#).unwrap();
        assert!(beside(folder.path()).unwrap_err().contains("`labels.txt` and `class_indices.json`"));
    }
}
