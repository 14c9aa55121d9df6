//! Files that a package names by a path relative to its folder.

use std::path::{Component, Path, PathBuf};

/// Returns the file at `path` in the package's `folder`, with all links resolved: some mounts consist of links.
///
/// # Errors
/// The end of a sentence that begins with the name of the key.
pub(super) fn file_inside(folder: &Path, path: &str) -> Result<PathBuf, String> {
    let relative = Path::new(path);
    let inside = relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if path.is_empty() || !inside {
        return Err(format!("is \"{path}\", expected a path inside the package's folder, without `..`"));
    }
    let full = folder.join(relative);
    let unreadable =
        |error: std::io::Error| format!("is \"{path}\", but `{}` cannot be read: {error}", full.display());
    if !full.is_file() {
        return Err(format!("is \"{path}\", but there is no file `{}`", full.display()));
    }
    let real = full.canonicalize().map_err(unreadable)?;
    if !real.starts_with(folder.canonicalize().map_err(unreadable)?) {
        return Err(format!("is \"{path}\", a link to a file outside the package, expected one inside"));
    }
    Ok(real)
}
