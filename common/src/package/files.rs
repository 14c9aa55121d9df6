//! The files of a package's model.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{ModelFile, ModelFormat};

/// Returns the files of a model in a fixed order: the file itself, or all files in a SavedModel's folder.
pub(super) fn of_model(model: &ModelFile) -> io::Result<Vec<PathBuf>> {
    if model.format != ModelFormat::SavedModel {
        return Ok(vec![model.path.clone()]);
    }
    let mut files = Vec::new();
    let mut folders = vec![model.path.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            match entry.file_type()? {
                kind if kind.is_dir() => folders.push(entry.path()),
                _ => files.push(entry.path()),
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Returns what is not a file of the package in a SavedModel's folder: links that lead out of it, pipes, devices.
/// Hashing and TensorFlow would read them.
///
/// # Errors
/// The package's folder is not readable.
pub(super) fn strangers(folder: &Path, files: &[PathBuf]) -> io::Result<Vec<String>> {
    let real_folder = folder.canonicalize()?;
    let fault = |path: &PathBuf| {
        let shown = path.strip_prefix(folder).unwrap_or(path).display();
        let Ok(real) = path.canonicalize() else {
            return Some(format!("`{shown}` is a link to nothing, expected a file"));
        };
        if !real.starts_with(&real_folder) {
            return Some(format!("`{shown}` is a link to a file outside the package, expected one inside"));
        }
        (!real.is_file()).then(|| format!("`{shown}` is neither a file nor a folder"))
    };
    Ok(files.iter().filter_map(fault).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_that_lead_out_of_a_package_are_told_and_those_inside_are_followed() {
        let models = tempfile::tempdir().unwrap();
        let package = models.path().join("m");
        let model = ModelFile { path: package.join("m.savedmodel"), format: ModelFormat::SavedModel };
        fs::create_dir_all(model.path.join("variables")).unwrap();
        fs::create_dir(package.join("shared")).unwrap();
        fs::write(models.path().join("outside"), "").unwrap();
        fs::write(package.join("shared/inside"), "").unwrap();
        symlink("../shared/inside", model.path.join("saved_model.pb")).unwrap();
        let found = || strangers(&package, &of_model(&model).unwrap()).unwrap();
        assert!(found().is_empty(), "{:?}", found());

        symlink("../../../outside", model.path.join("variables/a")).unwrap();
        symlink("/dev/zero", model.path.join("variables/b")).unwrap();
        symlink("../../shared", model.path.join("variables/c")).unwrap();
        symlink("nowhere", model.path.join("variables/d")).unwrap();
        assert_eq!(
            found(),
            [
                "`m.savedmodel/variables/a` is a link to a file outside the package, expected one inside",
                "`m.savedmodel/variables/b` is a link to a file outside the package, expected one inside",
                "`m.savedmodel/variables/c` is neither a file nor a folder",
                "`m.savedmodel/variables/d` is a link to nothing, expected a file",
            ]
        );
    }

    /// Replaces each file of a package in turn by a pipe, on which opening would block forever.
    #[test]
    fn a_pipe_in_the_place_of_any_file_is_refused_at_once() {
        const CONFIG: &str = r#"{"img_preproc_type": "no_prepro", "output_postproc_type": "argmax",
            "image_preproc_config": {"input_shape": [2, 2, 3]}, "output_config": {"output_classes_file": "labels.txt"}}"#;
        const LIST: &str = r#"{"examples": [{"image": "a.png", "scores": [1.0]}]}"#;
        let files = [
            ("m_config.json", CONFIG),
            ("m.hdf5", "model"),
            ("labels.txt", "cat"),
            ("examples/examples.json", LIST),
            ("examples/a.png", "image"),
        ];
        for (piped, _) in files {
            let models = tempfile::tempdir().unwrap();
            fs::create_dir_all(models.path().join("m/examples")).unwrap();
            for (name, content) in files {
                let path = models.path().join("m").join(name);
                if name == piped {
                    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
                } else {
                    fs::write(path, content).unwrap();
                }
            }
            let (told, refused) = std::sync::mpsc::channel();
            let folder = models.path().to_owned();
            std::thread::spawn(move || {
                let name = crate::ids::ModelName::parse("m").unwrap();
                let opened = crate::package::Catalog::new(folder).open(&name);
                let is_refused =
                    opened.map_or(true, |package| crate::package::examples::open(&package).is_err());
                told.send(is_refused).unwrap();
            });
            let refused = refused.recv_timeout(std::time::Duration::from_secs(20));
            assert_eq!(refused, Ok(true), "{piped}");
        }
    }
}
