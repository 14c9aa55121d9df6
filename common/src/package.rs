//! Model packages: reads and validates a folder of the models folder as a [`Package`].
//!
//! ```text
//! models/NAME/NAME_config.json
//! models/NAME/NAME.hdf5          or .h5, .keras, or the folder NAME.savedmodel/
//! models/NAME/labels.txt         where the config names it as the file of its labels
//! models/NAME/examples/          images with the scores expected of them; see [`examples`]
//! ```
//!
//! The model itself is not opened here: the worker does that.

pub mod config;
pub mod examples;
mod files;
mod inside;
mod recipes;
mod stranger;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use self::config::ClassesFile;
pub use self::config::{ModelConfig, Postprocessing, Precision, Preprocessing, PreprocessingKind};
pub use self::recipes::Recipe;
pub use self::stranger::in_place_of_a_model;
use crate::ids::{ModelName, ModelVersion};

/// Larger configs are refused, in bytes. Parsed values may take a hundred times as much memory.
const MAX_CONFIG_BYTES: u64 = 2 << 20;

/// A package with a complete folder and a valid config.
#[derive(Debug, Clone)]
pub struct Package {
    /// Its folder's name.
    pub name: ModelName,
    /// Digest of its bytes.
    pub version: ModelVersion,
    /// Its config.
    pub config: ModelConfig,
    /// Its model.
    pub model: ModelFile,
}

impl Package {
    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.model.path.parent().unwrap_or(&self.model.path)
    }
}

/// The model of a package, unopened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFile {
    /// The file, or the folder of a SavedModel.
    pub path: PathBuf,
    /// Its format.
    pub format: ModelFormat,
}

/// The formats of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelFormat {
    /// Keras's HDF5 file: `.hdf5` or `.h5`.
    Hdf5,
    /// Keras 3's zip archive: `.keras`.
    KerasArchive,
    /// TensorFlow's SavedModel folder: `.savedmodel`.
    SavedModel,
}

impl ModelFormat {
    /// File extensions, in the order of precedence.
    const ENDINGS: [(&'static str, Self); 4] = [
        ("hdf5", Self::Hdf5),
        ("h5", Self::Hdf5),
        ("keras", Self::KerasArchive),
        ("savedmodel", Self::SavedModel),
    ];
}

/// Why a folder is not a valid package.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PackageError {
    /// A file of the package is missing.
    #[error("{0}")]
    Missing(String),
    /// The package is invalid.
    #[error("package `{name}` cannot be served: {}", problems.join("; "))]
    Invalid {
        /// The package.
        name: ModelName,
        /// All problems.
        problems: Vec<String>,
    },
    /// A file could not be read.
    #[error("package `{name}`: {reason}")]
    Unreadable {
        /// The package.
        name: ModelName,
        /// The file and the system's error.
        reason: String,
    },
}

/// A folder of the models folder.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its name, which may be invalid for a package.
    pub name: String,
    /// The package, or its problems.
    pub opened: Result<Package, PackageError>,
}

/// The models folder. Caches digests, so that a package is hashed only when it has changed.
#[derive(Debug, Clone)]
pub struct Catalog {
    folder: PathBuf,
    digests: Arc<Mutex<HashMap<Fingerprint, ModelVersion>>>,
}

/// File metadata that shows a change without reading the file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Fingerprint(Vec<(PathBuf, u64, u64, i64, i64)>);

impl Catalog {
    /// Creates a catalog of the packages in `folder`, which may be created later.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), digests: Arc::default() }
    }

    /// Returns the models folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Opens one package: finds its files, validates its config and computes its digest. Blocks on disk.
    ///
    /// # Errors
    /// [`PackageError`]; for an invalid config, all problems.
    pub fn open(&self, name: &ModelName) -> Result<Package, PackageError> {
        let folder = self.folder.join(name.as_str());
        let config_path = folder.join(format!("{name}_config.json"));
        let model = find_model(&folder, name)?;
        if !config_path.is_file() {
            return Err(missing(name, &config_path));
        }
        let unreadable = |path: &Path, error: &io::Error| PackageError::Unreadable {
            name: name.clone(),
            reason: format!("`{}` cannot be read: {error}", path.display()),
        };
        let config_bytes = read_config(&config_path).map_err(|e| unreadable(&config_path, &e))?;
        let (mut config, labels) = ModelConfig::parse_in(&folder, &config_bytes)
            .map_err(|problems| PackageError::Invalid { name: name.clone(), problems })?;
        if let Some(other) = config.model_name.as_deref().filter(|other| *other != name.as_str()) {
            config.remarks.push(format!("`model_name` is `{other}`, but the folder's name counts, `{name}`"));
        }
        let files = files::of_model(&model).map_err(|e| unreadable(&model.path, &e))?;
        if model.format == ModelFormat::SavedModel {
            let problems = files::strangers(&folder, &files).map_err(|e| unreadable(&folder, &e))?;
            if !problems.is_empty() {
                return Err(PackageError::Invalid { name: name.clone(), problems });
            }
        }
        let read = ReadFiles { config: (config_path, config_bytes), labels };
        let version = self.version(&read, &model, &files).map_err(|e| unreadable(&model.path, &e))?;
        Ok(Package { name: name.clone(), version, config, model })
    }

    /// Returns every folder by name, with the package or its problems, and folders whose name is invalid. Hidden
    /// folders are ignored.
    ///
    /// # Errors
    /// The models folder is not readable.
    pub fn list(&self) -> io::Result<Vec<Listed>> {
        let mut listed = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let (name, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
            let leads_nowhere = path.is_symlink() && !path.exists();
            if name.starts_with('.') || !(path.is_dir() || leads_nowhere) {
                continue;
            }
            let opened = match ModelName::parse(&name) {
                Ok(_) if leads_nowhere => {
                    Err(PackageError::Missing(format!("`{name}` is a link to nothing")))
                }
                Ok(name) => self.open(&name),
                Err(error) => Err(PackageError::Missing(error.to_string())),
            };
            listed.push(Listed { name, opened });
        }
        listed.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(listed)
    }

    fn version(&self, read: &ReadFiles, model: &ModelFile, files: &[PathBuf]) -> io::Result<ModelVersion> {
        let labels = read.labels.iter().map(|labels| labels.path.clone());
        let fingerprint = Fingerprint(
            std::iter::once(read.config.0.clone())
                .chain(labels)
                .chain(files.iter().cloned())
                .map(|path| {
                    let m = fs::metadata(&path)?;
                    Ok((path, m.ino(), m.len(), m.mtime_nsec() + m.mtime() * 1_000_000_000, m.ctime_nsec()))
                })
                .collect::<io::Result<_>>()?,
        );
        let known = self.digests.lock().unwrap_or_else(PoisonError::into_inner).get(&fingerprint).cloned();
        if let Some(version) = known {
            // A package that could be hashed was readable; it may have become unreadable since.
            for path in files {
                File::open(path)?;
            }
            return Ok(version);
        }
        let version = digest(read, model, files)?;
        self.digests.lock().unwrap_or_else(PoisonError::into_inner).insert(fingerprint, version.clone());
        Ok(version)
    }
}

/// The small files of a package, with their bytes.
struct ReadFiles {
    config: (PathBuf, Vec<u8>),
    labels: Option<ClassesFile>,
}

fn find_model(folder: &Path, name: &ModelName) -> Result<ModelFile, PackageError> {
    let there: Vec<ModelFile> = ModelFormat::ENDINGS
        .into_iter()
        .map(|(ending, format)| ModelFile { path: folder.join(format!("{name}.{ending}")), format })
        .filter(|model| match model.format {
            ModelFormat::Hdf5 | ModelFormat::KerasArchive => model.path.is_file(),
            ModelFormat::SavedModel => model.path.is_dir(),
        })
        .collect();
    // With several models it is unclear which one is meant; they may be from different trainings.
    if there.len() > 1 {
        let names: Vec<_> = there.iter().filter_map(|model| model.path.file_name()?.to_str()).collect();
        let problem = format!("the package has several models, `{}`, expected one", names.join("`, `"));
        return Err(PackageError::Invalid { name: name.clone(), problems: vec![problem] });
    }
    there.into_iter().next().ok_or_else(|| missing(name, &folder.join(format!("{name}.hdf5"))))
}

fn missing(name: &ModelName, path: &Path) -> PackageError {
    PackageError::Missing(format!("model `{name}` not found: there is no file `{}`", path.display()))
}

fn read_config(path: &Path) -> io::Result<Vec<u8>> {
    // Reading a pipe would block until something writes into it.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_CONFIG_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_CONFIG_BYTES {
        return Err(io::Error::other(format!("it is larger than {MAX_CONFIG_BYTES} bytes")));
    }
    Ok(bytes)
}

/// SHA-256 over the config, the file of labels if there is one, and each file of the model. Each is preceded by its
/// length, so that packages with different files never have the same input.
fn digest(read: &ReadFiles, model: &ModelFile, files: &[PathBuf]) -> io::Result<ModelVersion> {
    let mut hash = Sha256::new();
    let labels = read.labels.as_ref().map(|labels| &labels.bytes);
    for bytes in std::iter::once(&read.config.1).chain(labels) {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    }
    let mut buffer = vec![0; 1 << 20];
    for path in files {
        if model.format == ModelFormat::SavedModel {
            let inner = path.strip_prefix(&model.path).unwrap_or(path).to_string_lossy().into_owned();
            hash.update((inner.len() as u64).to_le_bytes());
            hash.update(inner);
        }
        let mut file = File::open(path)?;
        hash.update(file.metadata()?.len().to_le_bytes());
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            hash.update(&buffer[..count]);
        }
    }
    Ok(ModelVersion::from_digest(hash.finalize().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"{"model_name": "m", "img_preproc_type": "no_prepro", "output_postproc_type":
        "argmax", "image_preproc_config": {"input_shape": [2, 2, 3]}, "output_config": {"output_classes": ["a"]}}"#;

    fn package(files: &[(&str, &str)]) -> (tempfile::TempDir, Catalog, ModelName) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("m")).unwrap();
        for (name, text) in files {
            fs::write(folder.path().join("m").join(name), text).unwrap();
        }
        let catalog = Catalog::new(folder.path());
        (folder, catalog, ModelName::parse("m").unwrap())
    }

    #[test]
    fn a_missing_file_is_named() {
        let (_folder, catalog, name) = package(&[("m_config.json", CONFIG)]);
        let error = catalog.open(&name).unwrap_err();
        assert!(matches!(error, PackageError::Missing(_)), "{error}");
        assert!(error.to_string().ends_with("m/m.hdf5`"), "{error}");

        let (_folder, catalog, name) = package(&[("m.h5", "x")]);
        let error = catalog.open(&name).unwrap_err();
        assert!(error.to_string().ends_with("m/m_config.json`"), "{error}");
    }

    #[test]
    fn several_models_in_a_package_are_a_fault_that_names_them() {
        for other in ["m.h5", "m.keras"] {
            let (_folder, catalog, name) =
                package(&[("m_config.json", CONFIG), ("m.hdf5", "one"), (other, "two")]);
            let error = catalog.open(&name).unwrap_err();
            let expected = format!("the package has several models, `m.hdf5`, `{other}`, expected one");
            assert!(error.to_string().ends_with(&expected), "{error}");
        }
    }

    #[test]
    fn another_name_in_the_config_is_remarked_on() {
        let (_folder, catalog, name) = package(&[("m_config.json", CONFIG), ("m.hdf5", "one")]);
        assert!(catalog.open(&name).unwrap().config.remarks.is_empty());
        let other = CONFIG.replace(r#""model_name": "m""#, r#""model_name": "n""#);
        let (_folder, catalog, name) = package(&[("m_config.json", &other), ("m.hdf5", "one")]);
        let remarks = catalog.open(&name).unwrap().config.remarks;
        assert_eq!(remarks, ["`model_name` is `n`, but the folder's name counts, `m`"]);
    }

    #[test]
    fn the_version_follows_the_bytes_of_model_and_config() {
        let (folder, catalog, name) = package(&[("m_config.json", CONFIG), ("m.hdf5", "one")]);
        let first = catalog.open(&name).unwrap().version;
        assert_eq!(catalog.open(&name).unwrap().version, first);

        fs::write(folder.path().join("m/m.hdf5"), "two").unwrap();
        let second = catalog.open(&name).unwrap().version;
        assert_ne!(second, first);

        fs::write(folder.path().join("m/m_config.json"), format!("{CONFIG} ")).unwrap();
        let third = catalog.open(&name).unwrap().version;
        assert!(third != second && third != first);

        // The same bytes under another name are the same version: the name is not part of it.
        let (_other, catalog, name) = package(&[("m_config.json", CONFIG), ("m.h5", "one")]);
        assert_eq!(catalog.open(&name).unwrap().version, first);
    }

    #[test]
    fn labels_in_a_file_are_part_of_the_package() {
        let config = CONFIG.replace(r#""output_classes": ["a"]"#, r#""output_classes_file": "labels.txt""#);
        let (folder, catalog, name) =
            package(&[("m_config.json", &config), ("m.hdf5", "one"), ("labels.txt", "cat\ndog\n")]);
        let first = catalog.open(&name).unwrap();
        assert_eq!(first.config.postprocessing.classes(), ["cat", "dog"]);

        fs::write(folder.path().join("m/labels.txt"), "dog\ncat\n").unwrap();
        let second = catalog.open(&name).unwrap();
        assert_eq!(second.config.postprocessing.classes(), ["dog", "cat"]);
        assert_ne!(second.version, first.version);

        fs::remove_file(folder.path().join("m/labels.txt")).unwrap();
        let error = catalog.open(&name).unwrap_err();
        assert!(matches!(error, PackageError::Invalid { .. }), "{error}");
        assert!(error.to_string().ends_with("m/labels.txt`"), "{error}");
    }

    #[test]
    fn a_folder_that_links_to_another_place_is_no_package() {
        let (folder, catalog, name) = package(&[("m_config.json", CONFIG)]);
        fs::create_dir(folder.path().join("m/m.savedmodel")).unwrap();
        fs::write(folder.path().join("m/m.savedmodel/saved_model.pb"), "one").unwrap();
        let first = catalog.open(&name).unwrap();
        assert_eq!(first.model.format, ModelFormat::SavedModel);

        std::os::unix::fs::symlink("/dev/zero", folder.path().join("m/m.savedmodel/fingerprint.pb")).unwrap();
        let error = catalog.open(&name).unwrap_err();
        assert!(matches!(error, PackageError::Invalid { .. }), "{error}");
        assert!(error.to_string().contains("`m.savedmodel/fingerprint.pb` is a link"), "{error}");
    }

    #[test]
    fn a_list_tells_what_is_wrong_with_each_folder() {
        let (folder, catalog, _) = package(&[("m_config.json", "{"), ("m.hdf5", "one")]);
        fs::create_dir(folder.path().join("empty")).unwrap();
        fs::create_dir(folder.path().join("my model")).unwrap();
        fs::create_dir(folder.path().join(".git")).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("gone")).unwrap();
        fs::write(folder.path().join("a_file"), "").unwrap();
        let list = catalog.list().unwrap();
        let told: Vec<_> = list
            .iter()
            .map(|listed| (listed.name.as_str(), listed.opened.as_ref().unwrap_err().to_string()))
            .collect();
        let begins = [
            ("empty", "model `empty` not found"),
            ("gone", "`gone` is a link to nothing"),
            ("m", "package `m` cannot be served"),
            ("my model", "model name \"my model\" is not valid"),
        ];
        assert_eq!(told.len(), begins.len(), "{told:?}");
        for ((name, problem), (expected, begin)) in told.iter().zip(begins) {
            assert!(*name == expected && problem.starts_with(begin), "{name}: {problem}");
        }
    }
}
