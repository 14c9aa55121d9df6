//! `.keras`: a zip archive with the model's config as JSON and its weights as an HDF5 file.
//!
//! ```text
//! metadata.json       {"keras_version": "3.15.1", …}
//! config.json         what an .hdf5 file has as `model_config`
//! model.weights.h5    see `weights::tree`
//! ```

use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::Path;

use serde_json::Value;
use zip::ZipArchive;
use zip::result::ZipError;

use super::ImportError;
use super::hdf5::{self, Allowance, Fault, Folder};

/// Most bytes of `metadata.json`.
const MAX_METADATA: u64 = 1 << 20;

/// Most bytes of `config.json`. The largest of Keras's own models has 2 MB.
const MAX_CONFIG: u64 = 16 << 20;

/// The contents of an archive.
pub(super) struct Archive {
    /// The version of Keras that wrote it; empty where it does not say.
    pub(super) version: String,
    /// The model's JSON.
    pub(super) config: String,
    /// The root of the weights' file.
    pub(super) weights: Folder,
}

/// Opens an archive and reads its contents.
///
/// # Errors
/// The file cannot be read, or is not an archive of Keras's.
pub(super) fn open(path: &Path) -> Result<Archive, ImportError> {
    let mut entries = Entries::open(path)?;
    let version = entries.version()?;
    let config = String::from_utf8(entries.read("config.json", MAX_CONFIG)?)
        .map_err(|_| ImportError::faulty("`config.json` is not UTF-8"))?;
    // Keras does not compress the weights, and they hardly compress.
    let allowance = Allowance::of_a_file(entries.length);
    let weights = entries.read("model.weights.h5", allowance.left())?;
    let weights = hdf5::open_bytes(weights, allowance).map_err(|fault| match fault {
        Fault::Unreadable(reason) => ImportError::Unreadable(format!("the model cannot be read: {reason}")),
        Fault::Damaged(reason) => {
            ImportError::faulty(format!("`model.weights.h5` is not a complete HDF5 file: {reason}"))
        }
    })?;
    Ok(Archive { version, config, weights })
}

/// Returns the version of Keras that wrote the archive; empty where it does not say.
///
/// # Errors
/// The file cannot be read, or is not an archive of Keras's.
pub(super) fn version(path: &Path) -> Result<String, ImportError> {
    Entries::open(path)?.version()
}

struct Entries {
    archive: ZipArchive<BufReader<File>>,
    shown: String,
    /// Bytes of the whole file.
    length: u64,
}

impl Entries {
    fn open(path: &Path) -> Result<Self, ImportError> {
        let shown = path.display().to_string();
        let unreadable =
            |error: &io::Error| ImportError::Unreadable(format!("`{shown}` cannot be read: {error}"));
        let file = File::open(path).map_err(|error| unreadable(&error))?;
        let length = file.metadata().map_err(|error| unreadable(&error))?.len();
        let archive = ZipArchive::new(BufReader::new(file)).map_err(|error| {
            ImportError::faulty(format!(
                "`{shown}` is not a complete zip archive: {error}; expected a model saved by Keras as .keras"
            ))
        })?;
        Ok(Self { archive, shown, length })
    }

    fn version(&mut self) -> Result<String, ImportError> {
        let metadata = self.read("metadata.json", MAX_METADATA)?;
        let metadata: Value = serde_json::from_slice(&metadata)
            .map_err(|error| ImportError::faulty(format!("`metadata.json` is not JSON: {error}")))?;
        Ok(metadata.get("keras_version").and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    /// Reads an entry of at most `limit` bytes.
    fn read(&mut self, name: &str, limit: u64) -> Result<Vec<u8>, ImportError> {
        let shown = &self.shown;
        let Some(index) = self.archive.index_for_name(name) else {
            return Err(ImportError::faulty(format!(
                "`{shown}` has no `{name}`, expected metadata.json, config.json and model.weights.h5"
            )));
        };
        let mut entry = self.archive.by_index(index).map_err(|error| {
            let needs_password = matches!(error, ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED));
            ImportError::faulty(if needs_password {
                format!("`{name}` in `{shown}` is encrypted")
            } else {
                format!("`{name}` in `{shown}` cannot be read: {error}")
            })
        })?;
        let too_large = || {
            ImportError::faulty(format!("`{name}` in `{shown}` has more than {limit} bytes, expected fewer"))
        };
        if entry.size() > limit {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        // The entry may be larger than the size that the archive declares.
        entry.by_ref().take(limit + 1).read_to_end(&mut bytes).map_err(|error| {
            ImportError::faulty(format!("`{name}` in `{shown}` is damaged or cut off: {error}"))
        })?;
        if bytes.len() as u64 > limit {
            return Err(too_large());
        }
        Ok(bytes)
    }
}
