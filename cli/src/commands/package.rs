//! `classifier package`: makes a package of a model, without Python.

use std::path::PathBuf;

use clap::Args;
use common::config::ModelsConfig;

use crate::exit::Exit;
use crate::output;
use crate::unpackaged::{Choices, Replaces, is_package, understand};
use crate::usage::UsageError;

/// What `--help` shows below the options.
pub const EXAMPLES: &str = "Examples:
  classifier package flowers.keras                         a model that scales pixel values itself
  classifier package vgg.h5 --recipe caffe --labels cat,dog
  classifier package converted_keras.zip --name fruits     as Teachable Machine gives it

Writes the package that `classifier serve MODEL` serves into the models folder: a copy of the model,
and the config. `classifier examples` adds examples with today's scores; tools/package_model.py
makes packages whose examples have Keras's own scores.";

/// Options of the command.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A model: a .keras, .h5 or .hdf5 file, a SavedModel folder, a Teachable Machine folder or its .zip.
    #[arg(value_name = "MODEL")]
    file: PathBuf,
    #[command(flatten)]
    choices: Choices,
    /// Replace the package of this name, its whole folder.
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    models: ModelsConfig,
}

/// Runs the command.
///
/// # Errors
/// There is no model, it does not say how its images are read, or the package cannot be written.
pub fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    if is_package(&arguments.file) {
        return Err(UsageError(format!("`{}` is a package already", arguments.file.display())).into());
    }
    let model = understand(&arguments.file, &arguments.choices)?;
    let replaces = if arguments.overwrite { Replaces::ThatPackage } else { Replaces::Nothing };
    let folder = model.write(&arguments.models.models_dir, replaces)?;
    model.understood.iter().try_for_each(|line| output::line(line))?;
    output::note(&format!("`{}` is made, `classifier check {}` tries it", folder.display(), model.name));
    Ok(Exit::Done)
}
