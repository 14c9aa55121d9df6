//! What is at a path: a model's file, a SavedModel folder, a folder or a zip with one of them and its labels.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use common::package::ModelFormat;
use tempfile::TempDir;

use crate::usage::UsageError;

/// Most entries of a folder that are looked at.
const MAX_ENTRIES: usize = 10_000;

/// A model on disk.
#[derive(Debug)]
pub struct Source {
    /// The file, or the folder of a SavedModel.
    pub path: PathBuf,
    /// Its format by its name.
    pub format: ModelFormat,
    /// The name of what was given, without its ending.
    pub(super) stem: String,
    /// Where files of labels are looked for.
    pub(super) beside: PathBuf,
    /// What was given, as it was given.
    given: PathBuf,
    /// Holds what came out of a zip.
    _unpacked: Option<TempDir>,
}

impl Source {
    /// Finds the model at a path. Blocks on disk.
    ///
    /// # Errors
    /// There is no model, or several.
    pub fn at(given: &Path) -> anyhow::Result<Self> {
        let shown = given.display();
        let path = given.canonicalize().with_context(|| format!("`{shown}` cannot be read"))?;
        let kind = fs::metadata(&path).with_context(|| format!("`{shown}` cannot be read"))?;
        if kind.is_dir() {
            return Self::in_folder(given, &path);
        }
        if !kind.is_file() {
            bail!(UsageError(format!("`{shown}` is neither a file nor a folder, expected a model")));
        }
        if !has_ending(&path, &["keras", "h5", "hdf5"]) && keras::bundle::is_bundle(&path) {
            return Self::in_zip(given, &path);
        }
        let format = format_of(&path).or_else(|| by_first_bytes(&path));
        let Some(format) = format else {
            let instead = first_bytes(&path).and_then(|bytes| common::package::in_place_of_a_model(&bytes));
            let fact = instead.unwrap_or(
                "is no model: expected a .keras, .h5 or .hdf5 file, a SavedModel folder, or a Teachable Machine folder \
                 or its .zip",
            );
            bail!(UsageError(format!("`{shown}` {fact}")));
        };
        let beside = path.parent().unwrap_or(&path).to_owned();
        Ok(Self { stem: stem(&path), path, format, beside, given: given.to_owned(), _unpacked: None })
    }

    /// Returns what was given, as it was given.
    #[must_use]
    pub fn shown(&self) -> String {
        format!("`{}`", self.given.display())
    }

    fn in_zip(given: &Path, path: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("classifier-zip-").tempdir().context(
            "the zip cannot be unpacked: there is no folder for temporary files, expected one in TMPDIR or /tmp",
        )?;
        let unpacked = keras::bundle::unpack(path, folder.path())?;
        Ok(Self {
            path: unpacked.model,
            format: unpacked.format,
            stem: stem(path),
            beside: folder.path().to_owned(),
            given: given.to_owned(),
            _unpacked: Some(folder),
        })
    }

    fn in_folder(given: &Path, path: &Path) -> anyhow::Result<Self> {
        let shown = given.display();
        let saved = |path: PathBuf, beside: &Path| Self {
            // `model.savedmodel` of Teachable Machine is named by the folder around it.
            stem: stem(if path == beside.join("model.savedmodel") { beside } else { &path }),
            path,
            format: ModelFormat::SavedModel,
            beside: beside.to_owned(),
            given: given.to_owned(),
            _unpacked: None,
        };
        if path.join("saved_model.pb").is_file() {
            return Ok(saved(path.to_owned(), path.parent().unwrap_or(path)));
        }
        let mut files = Vec::new();
        for entry in
            fs::read_dir(path).with_context(|| format!("`{shown}` cannot be read"))?.take(MAX_ENTRIES)
        {
            files.push(entry.with_context(|| format!("`{shown}` cannot be read"))?.path());
        }
        files.sort();
        let models: Vec<(PathBuf, ModelFormat)> = files
            .into_iter()
            .filter_map(|file| match format_of(&file) {
                Some(format) if file.is_file() => Some((file, format)),
                _ => file.join("saved_model.pb").is_file().then_some((file, ModelFormat::SavedModel)),
            })
            .collect();
        match &models[..] {
            [(model, ModelFormat::SavedModel)] => Ok(saved(model.clone(), path)),
            [(model, format)] => Ok(Self {
                path: model.clone(),
                format: *format,
                stem: stem(path),
                beside: path.to_owned(),
                given: given.to_owned(),
                _unpacked: None,
            }),
            [] => bail!(UsageError(format!(
                "the folder `{shown}` holds no model, expected one .keras, .h5 or .hdf5 file, or `saved_model.pb`"
            ))),
            several => {
                let names: Vec<_> =
                    several.iter().filter_map(|(file, _)| file.file_name()?.to_str()).collect();
                bail!(UsageError(format!(
                    "the folder `{shown}` holds several models, `{}`, expected one: name the one",
                    names.join("`, `")
                )))
            }
        }
    }
}

/// Returns the folder's name as the package's name, if the folder at this path is a package.
#[must_use]
pub fn is_package(path: &Path) -> bool {
    let name = path.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_str()?.to_owned()));
    name.is_some_and(|name| path.join(format!("{name}_config.json")).is_file())
}

fn format_of(path: &Path) -> Option<ModelFormat> {
    if has_ending(path, &["h5", "hdf5"]) {
        Some(ModelFormat::Hdf5)
    } else if has_ending(path, &["keras"]) {
        Some(ModelFormat::KerasArchive)
    } else {
        None
    }
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    endings.contains(&ending.to_ascii_lowercase().as_str())
}

/// The format of a file whose name says none.
fn by_first_bytes(path: &Path) -> Option<ModelFormat> {
    let bytes = first_bytes(path)?;
    if bytes.starts_with(b"\x89HDF\r\n\x1a\n") {
        Some(ModelFormat::Hdf5)
    } else if bytes.starts_with(b"PK\x03\x04") {
        Some(ModelFormat::KerasArchive)
    } else {
        None
    }
}

fn first_bytes(path: &Path) -> Option<Vec<u8>> {
    use std::io::Read as _;

    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(64).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
}
