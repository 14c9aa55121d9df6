//! Finds the TensorFlow library.

use std::ffi::OsStr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use tempfile::TempDir;

use super::LibraryError;

/// The file that the crate `tensorflow` opens.
pub(crate) const FILE: &str = "libtensorflow.so";

/// The same library as TensorFlow's Python package names it.
const FILE_OF_PYTHON: &str = "libtensorflow_cc.so.2";

/// The second library of that package, which the first one loads from its own folder.
const FRAMEWORK_OF_PYTHON: &str = "libtensorflow_framework.so.2";

/// Folders that are searched when no folder is named, after `.cache/tensorflow` and Python environments.
const SYSTEM_FOLDERS: [&str; 5] =
    ["/usr/local/lib", "/usr/local/lib/tensorflow", "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"];

/// A library that was found.
#[derive(Debug)]
pub(crate) struct Found {
    /// The folder that holds it.
    pub(crate) folder: PathBuf,
    /// A folder with links to it under the name that the crate `tensorflow` opens. It is removed when this is dropped.
    links: Option<TempDir>,
}

impl Found {
    /// The folder to open [`FILE`] in.
    pub(crate) fn opened_in(&self) -> &Path {
        self.links.as_ref().map_or(&self.folder, TempDir::path)
    }
}

/// Finds the library in the named folder, or else in the default folders and in these Python environments.
///
/// # Errors
/// [`LibraryError::Missing`], or the links to the library of the Python package cannot be made.
pub(crate) fn find(named: Option<&Path>, environments: &[PathBuf]) -> Result<Found, LibraryError> {
    let folders = match named {
        Some(folder) => vec![folder.to_owned()],
        None => usual_folders(environments),
    };
    for folder in &folders {
        if folder.join(FILE).is_file() {
            return Ok(Found { folder: folder.clone(), links: None });
        }
        let library = folder.join(FILE_OF_PYTHON);
        if library.is_file() {
            let links = link(folder).map_err(|error| LibraryError::Unusable {
                path: library,
                reason: format!("no link to it can be made in the folder of temporary files: {error}"),
            })?;
            return Ok(Found { folder: folder.clone(), links: Some(links) });
        }
    }
    Err(LibraryError::Missing {
        looked_in: folders.iter().map(|folder| format!("`{}`", folder.display())).collect(),
    })
}

/// Links to the library of the Python package, under the names that are opened.
fn link(folder: &Path) -> io::Result<TempDir> {
    let folder = fs::canonicalize(folder)?;
    let links = tempfile::Builder::new().prefix("classifier-tensorflow-").tempdir()?;
    symlink(folder.join(FILE_OF_PYTHON), links.path().join(FILE))?;
    symlink(folder.join(FRAMEWORK_OF_PYTHON), links.path().join(FRAMEWORK_OF_PYTHON))?;
    Ok(links)
}

fn usual_folders(environments: &[PathBuf]) -> Vec<PathBuf> {
    let program = env::current_exe().ok();
    let starts = [env::current_dir().ok(), program.clone()];
    let mut folders: Vec<PathBuf> = Vec::new();
    for start in starts.iter().flatten() {
        folders.extend(start.ancestors().map(|folder| folder.join(".cache/tensorflow")));
    }
    // The error names only folders that exist.
    folders.retain(|folder| folder.is_dir());
    if folders.is_empty() {
        folders.extend(starts.into_iter().flatten().take(1).map(|folder| folder.join(".cache/tensorflow")));
    }
    // The environment that the program is installed in, if its folder is the environment's `bin`.
    let own = program
        .as_deref()
        .and_then(Path::parent)
        .filter(|folder| folder.file_name() == Some(OsStr::new("bin")));
    let own = own.and_then(Path::parent).map(Path::to_owned);
    let environments = own.iter().chain(environments);
    folders.extend(environments.flat_map(|environment| in_environment(environment)));
    folders.extend(SYSTEM_FOLDERS.map(PathBuf::from));
    folders.dedup();
    folders
}

/// The folder of Python's package `tensorflow` in an environment, by the version of Python.
fn in_environment(environment: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(environment.join("lib")) else { return Vec::new() };
    let pythons = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let pythons = pythons.filter(|path| {
        path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with("python3"))
    });
    let mut packages: Vec<PathBuf> =
        pythons.map(|python| python.join("site-packages/tensorflow")).filter(|path| path.is_dir()).collect();
    packages.sort();
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_told_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let error = find(Some(folder.path()), &[]).unwrap_err().to_string();
        assert!(error.contains(&*folder.path().to_string_lossy()), "{error}");
        assert!(error.contains("fetch_tensorflow.py"), "{error}");
    }

    #[test]
    fn the_named_folder_is_the_only_one_looked_in() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "").unwrap();
        let found = find(Some(folder.path()), &[]).unwrap();
        assert_eq!((found.folder.as_path(), found.opened_in()), (folder.path(), folder.path()));
        let error = find(Some(&folder.path().join("other")), &[]).unwrap_err();
        assert!(matches!(&error, LibraryError::Missing { looked_in } if looked_in.len() == 1), "{error}");
    }

    #[test]
    fn a_library_of_a_python_environment_is_opened_by_links_that_go_again() {
        let environment = tempfile::tempdir().unwrap();
        let package = environment.path().join("lib/python3.12/site-packages/tensorflow");
        fs::create_dir_all(&package).unwrap();
        fs::write(package.join(FILE_OF_PYTHON), "library").unwrap();
        fs::write(package.join(FRAMEWORK_OF_PYTHON), "framework").unwrap();
        assert_eq!(in_environment(environment.path()), std::slice::from_ref(&package));

        let found = find(Some(&package), &[]).unwrap();
        let links = found.opened_in().to_owned();
        assert_eq!(found.folder, package);
        assert_eq!(fs::read_to_string(links.join(FILE)).unwrap(), "library");
        assert_eq!(fs::read_to_string(links.join(FRAMEWORK_OF_PYTHON)).unwrap(), "framework");
        drop(found);
        assert!(!links.exists());
    }
}
