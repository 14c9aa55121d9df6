//! Labels: a list in the config, or a file of the package that the config names.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::super::inside::file_inside;
use super::describe;

/// Larger files of labels are refused, in bytes. Parsed values may take a hundred times as much memory.
const MAX_BYTES: u64 = 2 << 20;

/// Most warnings about labels, and most outputs in one.
const MAX_REMARKS: usize = 10;

/// The file of labels. Its bytes are part of the package's version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassesFile {
    /// Its path.
    pub path: PathBuf,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// The base of a config's file paths.
#[derive(Debug, Clone, Copy)]
pub(super) struct LabelFiles<'a>(Option<&'a Path>);

impl<'a> LabelFiles<'a> {
    /// A package's folder.
    pub(super) fn of_package(folder: &'a Path) -> Self {
        Self(Some(folder))
    }

    /// None: a config without a package.
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// Reads the labels from a file, given its path relative to the package's folder.
    ///
    /// # Errors
    /// The end of a sentence that begins with the key's name.
    pub(super) fn read(self, path: &str) -> Result<(Vec<String>, ClassesFile), String> {
        let Some(folder) = self.0 else {
            return Err(format!("is \"{path}\", but there is no package's folder to find it in"));
        };
        let real = file_inside(folder, path)?;
        let full = folder.join(path);
        let unreadable = |error: std::io::Error| {
            format!("is \"{path}\", but `{}` cannot be read: {error}", full.display())
        };
        let bytes = bytes_of(&real).map_err(unreadable)?;
        let classes = parse(Path::new(path), &bytes)
            .map_err(|fault| format!("is \"{path}\", whose content {fault}"))?;
        Ok((classes, ClassesFile { path: full, bytes }))
    }
}

/// Reads the labels from a file anywhere: one label a line, a JSON list, Keras's `imagenet_class_index.json`, or
/// `class_indices` as JSON. Blocks on disk.
///
/// # Errors
/// The end of a sentence that begins with the file.
pub fn read(path: &Path) -> Result<Vec<String>, String> {
    // Reading a pipe would block until something writes into it.
    match std::fs::metadata(path) {
        Ok(file) if file.is_file() => {}
        Ok(_) => return Err("is no file".to_owned()),
        Err(error) => return Err(format!("cannot be read: {error}")),
    }
    parse(path, &bytes_of(path).map_err(|error| format!("cannot be read: {error}"))?)
}

/// At most one byte more than a file of labels may have.
fn bytes_of(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Parses labels from a JSON list; numbers are taken as written.
pub(super) fn list(value: &Value) -> Option<Vec<String>> {
    let label = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let labels: Option<Vec<String>> = value.as_array()?.iter().map(label).collect();
    labels.filter(|labels| !labels.is_empty())
}

/// Warns about blank labels and labels of several outputs.
pub(super) fn remarks(classes: &[String]) -> Vec<String> {
    let mut outputs: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (output, label) in classes.iter().enumerate() {
        outputs.entry(label.trim()).or_default().push(output);
    }
    let blank = outputs.remove("").map(|outputs| match outputs[..] {
        [output] => format!("the label of output {output} is blank (counted from 0)"),
        _ => format!("the labels of outputs {} are blank (counted from 0)", in_words(&outputs)),
    });
    let doubled = outputs.into_iter().filter(|(_, outputs)| outputs.len() > 1).map(|(label, outputs)| {
        format!("the label `{label}` stands for outputs {} (counted from 0)", in_words(&outputs))
    });
    // Of thousands only the first few are listed.
    blank.into_iter().chain(doubled).take(MAX_REMARKS).collect()
}

/// Formats `1, 4 and 7`, the first few of many.
fn in_words(outputs: &[usize]) -> String {
    let shown: Vec<String> = outputs.iter().take(MAX_REMARKS).map(ToString::to_string).collect();
    match (&shown[..], outputs.len() - shown.len()) {
        ([all @ .., last], 0) if !all.is_empty() => format!("{} and {last}", all.join(", ")),
        (all, 0) => all.join(", "),
        (all, more) => format!("{} and {more} more", all.join(", ")),
    }
}

/// A file is JSON by its extension, or if it cannot be anything else; otherwise each line is a label.
fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<String>, String> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("is larger than {MAX_BYTES} bytes"));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| format!("is not UTF-8 text: {error}"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let is_json = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    match serde_json::from_str::<Value>(text) {
        Ok(value @ Value::Array(_)) => list(&value).ok_or_else(|| {
            format!(
                "is {}, expected a list of labels",
                if value == Value::Array(vec![]) { describe(&value) } else { "a list of other things" }
            )
        }),
        Ok(Value::Object(index)) => indexed(&index),
        Ok(value) if is_json => {
            Err(format!("is {}, expected a list of labels or an object", describe(&value)))
        }
        Err(error) if is_json => Err(format!("is not JSON: {error}")),
        Ok(_) | Err(_) => lines(text),
    }
}

/// Keras's `imagenet_class_index.json`, `{"0": ["n01440764", "tench"], …}`, or labels without ids; or the `class_indices` of
/// its generators, `{"cat": 0, "dog": 1}`.
fn indexed(index: &Map<String, Value>) -> Result<Vec<String>, String> {
    if index.is_empty() {
        return Err("is an empty object, expected labels by their index".to_owned());
    }
    if index.values().all(Value::is_number) {
        return indices(index);
    }
    (0..index.len())
        .map(|position| {
            let entry = index.get(&position.to_string()).ok_or_else(|| {
                format!(
                    "has {} entries and none for index \"{position}\", expected \"0\" and on",
                    index.len()
                )
            })?;
            match entry {
                Value::String(label) => Some(label.clone()),
                Value::Array(pair) => match pair.as_slice() {
                    [Value::String(_), Value::String(label)] => Some(label.clone()),
                    _ => None,
                },
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
            }
            .ok_or_else(|| format!("has {entry} for index \"{position}\", expected [id, label] or a label"))
        })
        .collect()
}

fn indices(index: &Map<String, Value>) -> Result<Vec<String>, String> {
    let mut labels = vec![None; index.len()];
    for (label, position) in index {
        let place = position.as_u64().and_then(|position| labels.get_mut(usize::try_from(position).ok()?));
        match place {
            Some(place @ None) => *place = Some(label.clone()),
            _ => {
                let last = index.len() - 1;
                return Err(format!("has {position} for \"{label}\", expected each of 0 to {last} once"));
            }
        }
    }
    Ok(labels.into_iter().flatten().collect())
}

fn lines(text: &str) -> Result<Vec<String>, String> {
    let labels: Vec<String> = text.trim_end().lines().map(|line| line.trim().to_owned()).collect();
    if labels.is_empty() {
        return Err("is empty, expected one label a line".to_owned());
    }
    match labels.iter().position(String::is_empty) {
        Some(at) => Err(format!("has nothing in line {}, expected one label a line", at + 1)),
        None => Ok(labels),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_gives_the_labels_in_order() {
        for (name, text) in [
            ("labels.txt", "tench\ngreat white shark\n7\n"),
            ("labels.txt", "\u{feff}tench\r\n  great white shark \r\n7\r\n\r\n"),
            ("labels", "tench\ngreat white shark\n7"),
            ("labels.json", r#"["tench", "great white shark", 7]"#),
            ("labels.txt", "[\"tench\",\n \"great white shark\", \"7\"]\n"),
            ("index.json", r#"{"2": ["n3", "7"], "0": ["n1", "tench"], "1": ["n2", "great white shark"]}"#),
            ("index.json", r#"{"0": "tench", "1": "great white shark", "2": "7"}"#),
            ("class_indices.json", r#"{"7": 2, "great white shark": 1, "tench": 0}"#),
        ] {
            assert_eq!(
                parse(Path::new(name), text.as_bytes()).unwrap(),
                ["tench", "great white shark", "7"],
                "{text}"
            );
        }
        // A label may begin like JSON.
        assert_eq!(parse(Path::new("l.txt"), b"[unknown]\n{other}").unwrap(), ["[unknown]", "{other}"]);
        assert_eq!(parse(Path::new("l.txt"), b"0\n1\n").unwrap(), ["0", "1"]);
    }

    #[test]
    fn what_is_no_list_of_labels_is_refused_with_the_reason() {
        for (name, bytes, says) in [
            ("l.txt", &b""[..], "is empty"),
            ("l.txt", b"\n \n", "is empty"),
            ("l.txt", b"a\n\nb\n", "has nothing in line 2"),
            ("l.txt", b"\xff\xfe", "is not UTF-8"),
            ("l.json", b"a\nb", "is not JSON"),
            ("l.json", b"[]", "is an empty list, expected a list of labels"),
            ("l.json", b"[[1]]", "expected a list of labels"),
            ("l.json", b"3", "is a number, expected a list"),
            ("l.json", b"{}", "is an empty object"),
            ("l.json", br#"{"0": "a", "2": "b"}"#, "has 2 entries and none for index \"1\""),
            ("l.json", br#"{"0": "a", "01": "b"}"#, "none for index \"1\""),
            ("l.json", br#"{"a": 0, "b": 2}"#, "has 2 for \"b\", expected each of 0 to 1 once"),
            ("l.json", br#"{"a": 1, "b": 1}"#, "has 1 for \"b\""),
            ("l.json", br#"{"a": 0, "b": -1}"#, "has -1 for \"b\""),
            ("l.json", br#"{"0": ["n1"]}"#, r#"has ["n1"] for index "0", expected [id, label]"#),
        ] {
            let fault = parse(Path::new(name), bytes).unwrap_err();
            assert!(fault.contains(says), "{fault:?} should hold {says:?}");
        }
    }

    #[test]
    fn a_path_stays_inside_the_package() {
        let folder = tempfile::tempdir().unwrap();
        let package = folder.path().join("m");
        std::fs::create_dir_all(package.join("more")).unwrap();
        std::fs::write(folder.path().join("outside.txt"), "secret").unwrap();
        std::fs::write(package.join("more/labels.txt"), "a\nb").unwrap();
        std::os::unix::fs::symlink("../outside.txt", package.join("link.txt")).unwrap();
        std::os::unix::fs::symlink("more/labels.txt", package.join("inner.txt")).unwrap();
        let files = LabelFiles::of_package(&package);
        for path in ["more/labels.txt", "./more/labels.txt", "inner.txt"] {
            assert_eq!(files.read(path).unwrap().0, ["a", "b"], "{path}");
        }
        let absolute = folder.path().join("outside.txt");
        for (path, says) in [
            ("../outside.txt", "without `..`"),
            ("more/../../outside.txt", "without `..`"),
            (absolute.to_str().unwrap(), "inside the package's folder"),
            ("", "inside the package's folder"),
            ("link.txt", "a link to a file outside the package"),
            ("none.txt", "m/none.txt`"),
            ("more", "there is no file"),
        ] {
            let fault = files.read(path).unwrap_err();
            assert!(fault.contains(says) && !fault.contains("secret"), "{path}: {fault}");
        }
    }
}
