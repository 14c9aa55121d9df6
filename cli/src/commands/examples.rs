//! `classifier examples`: records today's scores of images as a package's examples.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use common::config::ModelsConfig;
use common::package::Package;
use common::package::examples::{DEFAULT_TOLERANCE, FOLDER, LIST, MAX_EXAMPLES, MAX_IMAGE_BYTES};
use serde_json::{Value, json};
use tensorflow_engine::open;
use worker::config::LibraryConfig;
use worker::engines::load;
use worker::examples::scores;

use super::inspect::locate;
use crate::exit::Exit;
use crate::images::collect;
use crate::output;
use crate::usage::UsageError;

/// What `--help` shows below the options.
pub const EXAMPLES: &str = "Examples:
  classifier examples flowers photographs/         all images of a folder, at most 64
  classifier examples flowers one.jpg two.png --overwrite

Copies the images into the package's folder `examples`, with the scores that the service computes
for them today. From then on a worker refuses the package where it computes others: after a change
of the service, of TensorFlow or of the machine. They do not show that the scores are Keras's:
tools/package_model.py makes examples that do.";

/// Options of the command.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Name of a package in the models folder, or a path to a package's folder.
    package: String,
    /// Image files, or folders of them.
    #[arg(required = true, value_name = "IMAGES")]
    images: Vec<PathBuf>,
    /// The largest accepted difference of a score later, as a fraction of the image's largest score.
    #[arg(long, default_value_t = DEFAULT_TOLERANCE, value_parser = parse_tolerance)]
    tolerance: f32,
    /// Replace the package's examples.
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    models: ModelsConfig,
    #[command(flatten)]
    library: LibraryConfig,
}

/// Runs the command.
///
/// # Errors
/// The package cannot be served, an image cannot be read, or the examples cannot be written.
pub fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let (catalog, name) = locate(&arguments.package, &arguments.models)?;
    let package = catalog.open(&name)?;
    let images = named(&collect(&arguments.images)?)?;
    let target = package.folder().join(FOLDER);
    if target.exists() && !arguments.overwrite {
        return Err(
            UsageError(format!("package `{name}` has examples already: --overwrite replaces them")).into()
        );
    }
    let scored = score(&package, &images, &arguments.library)?;
    let list: Vec<Value> =
        scored.iter().map(|(image, scores)| json!({"image": image, "scores": scores})).collect();
    let list = json!({"tolerance": arguments.tolerance, "examples": list});
    write(&target, &images, &list)?;
    output::note(&format!("{} examples of package `{name}` are recorded", images.len()));
    Ok(Exit::Done)
}

fn parse_tolerance(text: &str) -> Result<f32, String> {
    let tolerance = text.parse::<f32>().ok().filter(|tolerance| (0.0..=1.0).contains(tolerance));
    tolerance.ok_or_else(|| "expected a share from 0 to 1".to_owned())
}

/// The images by their names in the package: their own, after their folder's where two have the same.
fn named(images: &[PathBuf]) -> Result<BTreeMap<String, PathBuf>, UsageError> {
    if images.len() > MAX_EXAMPLES {
        return Err(UsageError(format!(
            "there are {} images, expected at most {MAX_EXAMPLES}",
            images.len()
        )));
    }
    let own =
        |image: &Path| image.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut found = BTreeMap::new();
    for image in images {
        let mut name = own(image);
        if images.iter().filter(|other| own(other) == name).count() > 1 {
            let folder =
                image.canonicalize().ok().and_then(|image| Some(own(image.parent()?))).unwrap_or_default();
            name = format!("{folder}_{name}");
        }
        let is_small = fs::metadata(image).is_ok_and(|file| file.is_file() && file.len() <= MAX_IMAGE_BYTES);
        if !is_small {
            return Err(UsageError(format!(
                "`{}` is no file of at most {MAX_IMAGE_BYTES} bytes, expected an image",
                image.display()
            )));
        }
        if name == LIST || found.insert(name.clone(), image.clone()).is_some() {
            return Err(UsageError(format!(
                "`{}` would be a second `{name}` in `{FOLDER}`",
                image.display()
            )));
        }
    }
    Ok(found)
}

/// The scores of each image, or all that is wrong.
fn score<'a>(
    package: &Package,
    images: &'a BTreeMap<String, PathBuf>,
    library: &LibraryConfig,
) -> anyhow::Result<Vec<(&'a str, Vec<f32>)>> {
    let engine = load(&open(&library.settings())?, package)
        .with_context(|| format!("package `{}` cannot be served", package.name))?;
    let bar = output::progress(images.len() as u64, "scoring");
    let (mut scored, mut problems) = (Vec::new(), Vec::new());
    for (name, path) in images {
        match scores(package, &engine, path) {
            Ok(scores) if scores.iter().all(|score| score.is_finite()) => {
                scored.push((name.as_str(), scores))
            }
            Ok(scores) => {
                problems.push(format!("`{name}` has the scores {scores:?}, expected finite numbers"))
            }
            Err(reason) => problems.push(format!("`{name}`: {reason}")),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if !problems.is_empty() {
        bail!("{}", problems.join("; "));
    }
    Ok(scored)
}

/// Replaces the folder of examples by a whole one.
fn write(target: &Path, images: &BTreeMap<String, PathBuf>, list: &Value) -> anyhow::Result<()> {
    let context = || format!("`{}` cannot be written", target.display());
    let package = target.parent().unwrap_or(target);
    let made = tempfile::Builder::new().prefix(".examples-").tempdir_in(package).with_context(context)?;
    let folder = made.path().join(FOLDER);
    fs::create_dir(&folder).with_context(context)?;
    for (name, image) in images {
        fs::copy(image, folder.join(name)).with_context(context)?;
    }
    fs::write(folder.join(LIST), serde_json::to_string_pretty(list)? + "\n").with_context(context)?;
    if target.exists() {
        fs::rename(target, made.path().join("replaced")).with_context(context)?;
    }
    fs::rename(&folder, target).with_context(context)
}
