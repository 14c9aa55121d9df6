//! `classifier score`: a package's model on an array, without preprocessing.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use common::config::ModelsConfig;
use common::package::Package;
use engine::npy::{self, Array};
use engine::{Batch, Engine as _};
use tensorflow_engine::open;
use worker::config::LibraryConfig;
use worker::engines::load;

use crate::exit::Exit;
use crate::output;

use super::inspect::locate;

/// What `--help` shows below the options.
pub const EXAMPLES: &str = "Examples:
  classifier score digits images.npy scores.npy           a package of the models folder
  classifier score path/to/digits images.npy scores.npy   a package folder anywhere

INPUT.npy holds float32 of the shape [images, height, width, channels], as the model takes them:
nothing is scaled, padded or divided. OUTPUT.npy gets [images, classes] as the model computes them.";

/// Images in one call of the model.
const BATCH: usize = 32;

/// Options of the command.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Name of a package in the models folder, or a path to a package's folder.
    package: String,
    /// The model's inputs.
    #[arg(value_name = "INPUT.npy")]
    input: PathBuf,
    /// The file for the scores.
    #[arg(value_name = "OUTPUT.npy")]
    output: PathBuf,
    #[command(flatten)]
    models: ModelsConfig,
    #[command(flatten)]
    library: LibraryConfig,
}

/// Runs the command.
///
/// # Errors
/// The package cannot be served, or a file cannot be read or written.
pub fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let (catalog, name) = locate(&arguments.package, &arguments.models)?;
    let package = catalog.open(&name)?;
    let input = npy::read(&arguments.input)
        .with_context(|| format!("`{}` cannot be read", arguments.input.display()))?;
    let scores = score(&package, &input, &arguments.library)?;
    npy::write(&arguments.output, &scores.shape, &scores.values)
        .with_context(|| format!("`{}` cannot be written", arguments.output.display()))?;
    output::note(&format!("{} images scored with {name}", scores.shape[0]));
    Ok(Exit::Done)
}

fn score(package: &Package, input: &Array, library: &LibraryConfig) -> anyhow::Result<Array> {
    let shape = package.config.preprocessing.input_shape;
    if input.shape.len() != 4 || input.shape[1..] != shape {
        bail!(
            "the input has shape {:?}, expected [images, {}, {}, {}]",
            input.shape,
            shape[0],
            shape[1],
            shape[2]
        );
    }
    let engine = load(&open(&library.settings())?, package)
        .with_context(|| format!("package `{}` cannot be served", package.name))?;
    let bar = output::progress(input.shape[0] as u64, "scoring");
    let mut all =
        Array { shape: vec![input.shape[0], package.config.postprocessing.outputs()], values: Vec::new() };
    for pixels in input.values.chunks(BATCH * shape.iter().product::<usize>()) {
        let images = pixels.len() / shape.iter().product::<usize>();
        let scores = engine.predict(&Batch::new(images, shape, pixels.to_vec()))?;
        all.shape[1] = scores.classes;
        all.values.extend(scores.values);
        bar.inc(images as u64);
    }
    bar.finish_and_clear();
    Ok(all)
}
