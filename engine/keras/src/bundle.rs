//! A zip with a model's file and its labels, as Teachable Machine gives it.
//!
//! ```text
//! keras_model.h5      or any other one model, in any folder of the zip
//! labels.txt          beside it
//! ```
//!
//! Both are written under names of their own, so that no name in the zip is ever a path.

use std::fs::{self, File};
use std::io::{self, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};

use common::package::ModelFormat;
use zip::ZipArchive;

use super::ImportError;

/// Most entries of a zip.
const MAX_ENTRIES: usize = 1_000;

/// Most bytes of the model.
const MAX_MODEL: u64 = 4 << 30;

/// Weights hardly compress: more than this many bytes for each of the zip is no model.
const MAX_RATIO: u64 = 64;

/// Most bytes of the labels.
const MAX_LABELS: u64 = 2 << 20;

/// The labels' file.
const LABELS: &str = "labels.txt";

/// What a zip held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// The model's file.
    pub model: PathBuf,
    /// The format that its name implies.
    pub format: ModelFormat,
    /// The file of labels, if there was one.
    pub labels: Option<PathBuf>,
}

/// Returns whether a file is a zip and no `.keras` archive. Blocks on disk.
#[must_use]
pub fn is_bundle(path: &Path) -> bool {
    open(path).is_ok_and(|archive| archive.index_for_name("config.json").is_none())
}

/// Writes the model of a zip, and its labels, into a folder. Blocks on disk.
///
/// # Errors
/// The zip cannot be read, holds no model or several, or more than a model has.
pub fn unpack(path: &Path, into: &Path) -> Result<Unpacked, ImportError> {
    let shown = path.display().to_string();
    let mut archive = open(path)?;
    if archive.len() > MAX_ENTRIES {
        let count = archive.len();
        return Err(ImportError::faulty(format!(
            "`{shown}` has {count} entries, expected at most {MAX_ENTRIES}"
        )));
    }
    let names: Vec<String> = archive
        .file_names()
        // What is no text is no name that is looked for.
        .filter_map(|name| Some(name.ok()?.into_owned()))
        .filter(|name| !is_hidden(name))
        .collect();
    let models: Vec<(&String, ModelFormat)> =
        names.iter().filter_map(|name| Some((name, format_of(name)?))).collect();
    let (name, format) = match models[..] {
        [one] => one,
        [] if names.iter().any(|name| name.ends_with("saved_model.pb")) => {
            return Err(ImportError::faulty(format!(
                "`{shown}` holds a SavedModel folder, expected a model's file: unpack it and name the folder"
            )));
        }
        [] => {
            return Err(ImportError::faulty(format!(
                "`{shown}` holds no model, expected one file named .keras, .h5 or .hdf5; it has `{}`",
                some_of(&names)
            )));
        }
        _ => {
            let several: Vec<String> = models.iter().map(|(name, _)| (*name).clone()).collect();
            return Err(ImportError::faulty(format!(
                "`{shown}` holds several models, `{}`, expected one: unpack it and name the one",
                some_of(&several)
            )));
        }
    };
    let length = fs::metadata(path).map_or(0, |file| file.len());
    let limit = MAX_MODEL.min(MAX_RATIO * length);
    let ending = if format == ModelFormat::KerasArchive { "keras" } else { "h5" };
    let model = into.join(format!("model.{ending}"));
    write(&mut archive, name, limit, &model).map_err(|fact| fact.about(&shown, name))?;
    let beside =
        name.rsplit_once('/').map_or_else(|| LABELS.to_owned(), |(folder, _)| format!("{folder}/{LABELS}"));
    let labels = match names.contains(&beside) {
        true => {
            let labels = into.join(LABELS);
            write(&mut archive, &beside, MAX_LABELS, &labels).map_err(|fact| fact.about(&shown, &beside))?;
            Some(labels)
        }
        false => None,
    };
    Ok(Unpacked { model, format, labels })
}

fn open(path: &Path) -> Result<ZipArchive<BufReader<File>>, ImportError> {
    let shown = path.display();
    let unreadable = |error: io::Error| ImportError::Unreadable(format!("`{shown}` cannot be read: {error}"));
    // Opening a pipe would block.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(ImportError::faulty(format!("`{shown}` is no file, expected a zip")));
    }
    let file = File::open(path).map_err(unreadable)?;
    ZipArchive::new(BufReader::new(file))
        .map_err(|error| ImportError::faulty(format!("`{shown}` is not a complete zip archive: {error}")))
}

/// Folders, and what macOS puts beside each file.
fn is_hidden(name: &str) -> bool {
    name.ends_with('/') || name.split('/').any(|part| part.starts_with('.') || part == "__MACOSX")
}

fn format_of(name: &str) -> Option<ModelFormat> {
    match name.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
        "h5" | "hdf5" => Some(ModelFormat::Hdf5),
        "keras" => Some(ModelFormat::KerasArchive),
        _ => None,
    }
}

fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let more = if names.len() > SHOWN { "`, …" } else { "" };
    format!("{}{more}", names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("`, `"))
}

/// Why an entry was not written.
enum Fact {
    TooLarge(u64),
    Damaged(String),
    NotWritten(io::Error),
}

impl Fact {
    fn about(self, zip: &str, entry: &str) -> ImportError {
        match self {
            Self::TooLarge(limit) => ImportError::faulty(format!(
                "`{entry}` in `{zip}` has more than {limit} bytes, expected fewer for a zip of this size"
            )),
            Self::Damaged(reason) => {
                ImportError::faulty(format!("`{entry}` in `{zip}` is damaged or cut off: {reason}"))
            }
            Self::NotWritten(error) => {
                ImportError::Unreadable(format!("`{entry}` of `{zip}` cannot be unpacked: {error}"))
            }
        }
    }
}

/// Copies an entry of at most `limit` bytes to a file.
fn write(archive: &mut ZipArchive<BufReader<File>>, name: &str, limit: u64, to: &Path) -> Result<(), Fact> {
    let mut entry = archive.by_name(name).map_err(|error| Fact::Damaged(error.to_string()))?;
    if entry.size() > limit {
        return Err(Fact::TooLarge(limit));
    }
    let mut file = File::create_new(to).map_err(Fact::NotWritten)?;
    // The entry may be larger than the size that the zip declares.
    let mut left = limit;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = entry.read(&mut buffer).map_err(|error| Fact::Damaged(error.to_string()))?;
        if count == 0 {
            return Ok(());
        }
        left = left.checked_sub(count as u64).ok_or(Fact::TooLarge(limit))?;
        file.write_all(&buffer[..count]).map_err(Fact::NotWritten)?;
    }
}
