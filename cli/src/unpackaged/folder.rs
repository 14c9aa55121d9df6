//! Writes a package's folder: for the time of a server, or for good.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use common::ids::ModelName;
use common::package::{Catalog, ModelFormat};
use tempfile::TempDir;

use super::Unpackaged;
use crate::usage::UsageError;

/// Most files of a SavedModel, and most folders in each other.
const MAX_FILES: usize = 10_000;
const MAX_DEPTH: usize = 16;

/// A package that exists as long as this value: its models folder is removed with it.
pub struct Served {
    /// The package's name.
    pub name: ModelName,
    /// What was understood, a line each.
    pub understood: Vec<String>,
    /// Holds the package.
    folder: TempDir,
    /// Holds what came out of a zip.
    _source: super::Source,
}

impl Served {
    /// Returns the models folder that has this package alone.
    #[must_use]
    pub fn catalog(&self) -> Catalog {
        Catalog::new(self.folder.path())
    }
}

impl Unpackaged {
    /// Makes a package in a folder of temporary files; the model is linked and not copied where it can be.
    ///
    /// # Errors
    /// The folder cannot be written, or the model holds what is no file.
    pub fn serve(self) -> anyhow::Result<Served> {
        let folder = tempfile::Builder::new()
            .prefix("classifier-serve-")
            .tempdir()
            .context("there is no folder for temporary files, expected one in TMPDIR or /tmp")?;
        self.write_into(&folder.path().join(self.name.as_str()), Placed::Linked)?;
        Ok(Served { name: self.name, understood: self.understood, folder, _source: self.source })
    }

    /// Makes a package in the models folder, for good. Nobody sees half of it.
    ///
    /// # Errors
    /// There is one of this name, or it cannot be written.
    pub fn write(&self, models: &Path, replaces: Replaces) -> anyhow::Result<PathBuf> {
        let target = models.join(self.name.as_str());
        let shown = target.display();
        if target.exists() {
            match replaces {
                Replaces::Nothing => bail!(UsageError(format!(
                    "`{shown}` exists already: choose another --name, or --overwrite it"
                ))),
                Replaces::ThatPackage if !target.join(format!("{}_config.json", self.name)).is_file() => {
                    bail!(UsageError(format!("`{shown}` is no package, so it is not overwritten")))
                }
                Replaces::ThatPackage => {}
            }
        }
        let context = || format!("`{shown}` cannot be written");
        fs::create_dir_all(models).with_context(context)?;
        // Hidden folders are no packages.
        let made = tempfile::Builder::new()
            .prefix(".classifier-package-")
            .tempdir_in(models)
            .with_context(context)?;
        let package = made.path().join(self.name.as_str());
        self.write_into(&package, Placed::Copied)?;
        if target.exists() {
            fs::rename(&target, made.path().join("replaced")).with_context(context)?;
        }
        fs::rename(&package, &target).with_context(context)?;
        Ok(target)
    }

    fn write_into(&self, package: &Path, placed: Placed) -> anyhow::Result<()> {
        let context = || format!("`{}` cannot be written", package.display());
        fs::create_dir(package).with_context(context)?;
        let ending = match self.source.format {
            // The bytes decide, whatever the name says: a file is read either way.
            ModelFormat::Hdf5 => "h5",
            ModelFormat::KerasArchive => "keras",
            ModelFormat::SavedModel => "savedmodel",
        };
        let model = package.join(format!("{}.{ending}", self.name));
        match self.source.format {
            ModelFormat::Hdf5 | ModelFormat::KerasArchive => placed.place_file(&self.source.path, &model)?,
            ModelFormat::SavedModel => {
                let mut left = MAX_FILES;
                placed.place_folder(&self.source.path, &model, (MAX_DEPTH, &mut left))?;
            }
        }
        let config = serde_json::to_string_pretty(&self.config)? + "\n";
        fs::write(package.join(format!("{}_config.json", self.name)), config).with_context(context)?;
        Ok(())
    }
}

/// What a package may replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaces {
    /// Nothing.
    Nothing,
    /// The package of this name.
    ThatPackage,
}

/// How the model's files come into a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placed {
    /// By links, so that nothing is copied. A SavedModel's files on another disk are copied: links that lead out of a
    /// package are refused.
    Linked,
    Copied,
}

impl Placed {
    fn place_file(self, from: &Path, to: &Path) -> anyhow::Result<()> {
        let done = match self {
            Self::Linked => symlink(from, to),
            Self::Copied => copy(from, to),
        };
        done.with_context(|| format!("`{}` cannot be copied to `{}`", from.display(), to.display()))
    }

    /// Places the files of a SavedModel. Links are not followed: they may lead anywhere, or in circles.
    fn place_folder(self, from: &Path, to: &Path, (depth, left): (usize, &mut usize)) -> anyhow::Result<()> {
        let context = || format!("`{}` cannot be read", from.display());
        if depth == 0 {
            bail!("`{}` is more than {MAX_DEPTH} folders deep, expected a SavedModel", from.display());
        }
        fs::create_dir(to).with_context(|| format!("`{}` cannot be written", to.display()))?;
        for entry in fs::read_dir(from).with_context(context)? {
            let entry = entry.with_context(context)?;
            *left = left.checked_sub(1).with_context(|| {
                format!(
                    "`{}` is in a folder of more than {MAX_FILES} files, expected a SavedModel",
                    from.display()
                )
            })?;
            let (path, kind) = (entry.path(), entry.file_type().with_context(context)?);
            let target = to.join(entry.file_name());
            if kind.is_dir() {
                self.place_folder(&path, &target, (depth - 1, &mut *left))?;
            } else if kind.is_file() {
                let done = match self {
                    Self::Linked => fs::hard_link(&path, &target).or_else(|_| copy(&path, &target)),
                    Self::Copied => copy(&path, &target),
                };
                done.with_context(|| {
                    format!("`{}` cannot be copied to `{}`", path.display(), target.display())
                })?;
            } else {
                bail!("`{}` is neither a file nor a folder, expected a SavedModel's files", path.display());
            }
        }
        Ok(())
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to).map(|_| ())
}
