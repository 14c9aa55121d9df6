//! `classifier inspect`: the contents and the problems of a package.

use std::path::Path;

use anyhow::Context as _;
use clap::Args;
use common::config::ModelsConfig;
use common::ids::ModelName;
use common::package::{Catalog, ModelFormat, Package, PackageError, PreprocessingKind, examples};
use engine::LoadError;
use keras::{self, Model};
use model::{Shape, Size};
use serde_json::{Value, json};
use tensorflow_engine::{Description, TensorInfo, describe, open};
use worker::config::LibraryConfig;
use worker::engines::load;
use worker::examples::verify;

use crate::exit::Exit;
use crate::output;
use crate::usage::UsageError;
use crate::words;

/// What `--help` shows below the options.
pub const EXAMPLES: &str = "Examples:
  classifier inspect digits                   a package of the models folder
  classifier inspect path/to/digits           a package folder anywhere

Describes preprocessing and postprocessing in words and lists the layers, or the inputs and outputs
of a SavedModel. Reads the config and the model, builds the model, and runs it and its examples,
exactly as a worker does before it serves the package. Lists all problems, and exits with 1 if there
are any.";

/// Options of the command.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Name of a package in the models folder, or a path to a package's folder.
    package: String,
    /// Print JSON instead of tables.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    models: ModelsConfig,
    #[command(flatten)]
    library: LibraryConfig,
}

/// Runs the command.
///
/// # Errors
/// There is no such package, or no TensorFlow library.
pub fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let (catalog, name) = locate(&arguments.package, &arguments.models)?;
    let package = match catalog.open(&name) {
        Ok(package) => package,
        Err(PackageError::Invalid { problems, .. }) => {
            let found = json!({"model": name.as_str(), "problems": problems});
            return report(arguments.json, &found, &Contents::default(), &problems);
        }
        Err(error @ (PackageError::Missing(_) | PackageError::Unreadable { .. })) => return Err(error.into()),
    };
    let library = open(&arguments.library.settings())?;
    let spinner = output::spinner(&format!("reading {name}"));
    let contents = Contents::of(&package);
    let problems = match load(&library, &package).and_then(|engine| verify(&package, &engine)) {
        Ok(()) => Vec::new(),
        Err(LoadError::Unservable(problems)) => problems,
        Err(LoadError::Unavailable(reason)) => vec![reason],
    };
    spinner.finish_and_clear();
    report(arguments.json, &about(&package, &contents, &problems), &contents, &problems)
}

/// Returns the catalog and the name of a package; a path names both.
///
/// # Errors
/// It is neither a package name nor the path of a folder.
pub(super) fn locate(package: &str, models: &ModelsConfig) -> anyhow::Result<(Catalog, ModelName)> {
    if !package.contains('/') {
        let name = ModelName::parse(package).map_err(|error| UsageError(error.to_string()))?;
        return Ok((Catalog::new(&models.models_dir), name));
    }
    let folder = Path::new(package)
        .canonicalize()
        .with_context(|| format!("`{package}` cannot be read, expected a package's folder"))?;
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let name = ModelName::parse(name).map_err(|error| UsageError(error.to_string()))?;
    Ok((Catalog::new(folder.parent().unwrap_or(&folder)), name))
}

/// The contents of a model. Errors while reading it are among the problems that loading finds.
#[derive(Default)]
struct Contents {
    /// The layers of a Keras model.
    rows: Vec<Row>,
    /// The output names of a Keras model.
    outputs: Vec<String>,
    /// The description of a SavedModel.
    saved_model: Option<Description>,
    /// The program that wrote it.
    written_by: Option<String>,
}

impl Contents {
    fn of(package: &Package) -> Self {
        let (path, format) = (&package.model.path, package.model.format);
        match format {
            ModelFormat::SavedModel => {
                let saved_model = describe(path).ok();
                let version = saved_model.as_ref().and_then(|said| said.tensorflow_version.as_ref());
                let written_by = version.map(|version| format!("TensorFlow {version}"));
                Self { saved_model, written_by, ..Self::default() }
            }
            ModelFormat::Hdf5 | ModelFormat::KerasArchive => {
                let written_by = keras::written_by(path, format).map(|version| format!("Keras {version}"));
                let Ok(model) = keras::open(path, format) else {
                    return Self { written_by, ..Self::default() };
                };
                let rows = rows(&model);
                Self { rows, outputs: model.output_names, written_by, ..Self::default() }
            }
        }
    }

    /// The inputs or outputs of a SavedModel, or the output names of a Keras model with several.
    fn ends(&self) -> [Option<Vec<String>>; 2] {
        let signature = self.saved_model.as_ref().map(|said| &said.signature);
        let shown = |tensors: &[TensorInfo]| tensors.iter().map(ToString::to_string).collect();
        let several = Some(self.outputs.clone()).filter(|names| names.len() > 1);
        [
            signature.map(|signature| shown(&signature.inputs)),
            signature.map(|signature| shown(&signature.outputs)).or(several),
        ]
    }
}

/// The row of a layer.
struct Row {
    name: String,
    class: String,
    shape: String,
    parameters: usize,
    trainable: usize,
}

/// The layers of the outermost model, as in Keras's own summary.
fn rows(model: &Model) -> Vec<Row> {
    // If the model cannot be lowered, the layers are still listed; the error is among the problems.
    let shapes = model.shapes().unwrap_or_default();
    let row = |row: &keras::SummaryRow| Row {
        name: row.name.clone(),
        class: row.class.clone(),
        shape: shapes.get(row.node).map_or_else(|| "?".to_owned(), show_shape),
        parameters: row.parameters,
        trainable: row.trainable,
    };
    model.summary.iter().map(row).collect()
}

/// In Keras's form: `(None, 32, 32, 3)`.
fn show_shape(shape: &Shape) -> String {
    let show = |size: &Size| size.known().map_or_else(|| "None".to_owned(), |size| size.to_string());
    let sizes: Vec<_> = shape.iter().map(show).collect();
    format!("({})", sizes.join(", "))
}

/// Describes a package with a valid config as JSON.
fn about(package: &Package, contents: &Contents, problems: &[String]) -> Value {
    let config = &package.config;
    let rows = &contents.rows;
    let factor = match config.preprocessing.kind {
        PreprocessingKind::NormalizeAndPad { normalization_factor } => Some(normalization_factor),
        PreprocessingKind::NoPrepro | PreprocessingKind::Resize(_) => None,
    };
    let keras = contents.written_by.as_ref().and_then(|program| program.strip_prefix("Keras "));
    let signature = contents.saved_model.as_ref().map(|said| &said.signature.name);
    let [inputs, outputs] = contents.ends();
    // The problems of an invalid list of examples are reported with the others.
    let examples = examples::open(package).ok().map(|examples| examples.len());
    let layers: Vec<_> = rows
        .iter()
        .map(|row| {
            json!({"name": row.name, "class": row.class, "output_shape": row.shape, "parameters": row.parameters})
        })
        .collect();
    json!({
        "model": package.name.as_str(),
        "version": package.version.as_str(),
        "file": package.model.path,
        "format": words::format(package.model.format, contents.written_by.as_deref()),
        "keras_version": keras,
        "signature": signature,
        "inputs": inputs,
        "outputs": outputs,
        "output_name": config.postprocessing.output_name,
        "preprocessing": config.preprocessing.kind.name(),
        "input_shape": config.preprocessing.input_shape,
        "normalization_factor": factor,
        "image": words::preprocessing(&config.preprocessing),
        "precision": config.precision.name(),
        "postprocessing": config.postprocessing.rule.name(),
        "answer": words::postprocessing(&config.postprocessing),
        "classes": config.postprocessing.classes(),
        "examples": examples,
        "creation_time": config.creation_time,
        "comments": config.comments,
        "layers": layers,
        "parameters": rows.iter().map(|row| row.parameters).sum::<usize>(),
        "trainable_parameters": rows.iter().map(|row| row.trainable).sum::<usize>(),
        "remarks": config.remarks,
        "problems": problems,
    })
}

fn report(as_json: bool, about: &Value, contents: &Contents, problems: &[String]) -> anyhow::Result<Exit> {
    let rows = &contents.rows;
    if as_json {
        output::json(about)?;
        return Ok(Exit::done_if(problems.is_empty()));
    }
    for key in [
        "model",
        "version",
        "file",
        "format",
        "signature",
        "inputs",
        "outputs",
        "output_name",
        "preprocessing",
        "input_shape",
        "image",
        "precision",
        "postprocessing",
        "answer",
        "classes",
        "examples",
        "creation_time",
        "comments",
    ] {
        match &about[key] {
            Value::Null => {}
            Value::String(text) => output::line(&format!("{key:<22}{text}"))?,
            Value::Array(list) if key == "classes" => {
                output::line(&format!("{key:<22}{}", words::some_of(list)))?;
            }
            Value::Array(steps) if steps.iter().all(Value::is_string) => {
                for (at, step) in steps.iter().filter_map(Value::as_str).enumerate() {
                    output::line(&format!("{:<22}{step}", if at == 0 { key } else { "" }))?;
                }
            }
            value @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                output::line(&format!("{key:<22}{value}"))?;
            }
        }
    }
    if !rows.is_empty() {
        let mut table = output::table(&["Layer (type)", "Output Shape", "Param #"]);
        for row in rows {
            table.add_row([
                output::cell(format!("{} ({})", row.name, row.class)),
                output::cell(&row.shape),
                output::cell(thousands(row.parameters)),
            ]);
        }
        output::print(&table)?;
        let total: usize = rows.iter().map(|row| row.parameters).sum();
        let trainable: usize = rows.iter().map(|row| row.trainable).sum();
        output::line(&format!("Total params: {}", thousands(total)))?;
        output::line(&format!("Trainable params: {}", thousands(trainable)))?;
        output::line(&format!("Non-trainable params: {}", thousands(total - trainable)))?;
    }
    let remarks: Vec<&str> =
        about["remarks"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !remarks.is_empty() {
        output::line("Odd, and no fault:")?;
        remarks.iter().try_for_each(|remark| output::line(&format!("  - {remark}")))?;
    }
    if problems.is_empty() {
        output::line("The package can be served.")?;
    } else {
        output::line(&format!("The package cannot be served, {} found:", faults(problems.len())))?;
        problems.iter().try_for_each(|problem| output::line(&format!("  - {problem}")))?;
    }
    Ok(Exit::done_if(problems.is_empty()))
}

fn faults(count: usize) -> String {
    if count == 1 { "1 fault".to_owned() } else { format!("{count} faults") }
}

/// A number with commas as thousands separators, as in Keras.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas_between_thousands() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1000, "1,000"), (21050, "21,050"), (1234567, "1,234,567")]
        {
            assert_eq!(thousands(number), text);
        }
    }

    #[test]
    fn a_path_names_the_models_folder_and_the_package() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("digits")).unwrap();
        let models = ModelsConfig { models_dir: "elsewhere".into() };
        let (catalog, name) = locate(folder.path().join("digits/").to_str().unwrap(), &models).unwrap();
        assert_eq!(name.as_str(), "digits");
        assert_eq!(catalog.folder(), folder.path().canonicalize().unwrap());
        assert_eq!(locate("digits", &models).unwrap().0.folder(), Path::new("elsewhere"));
        assert!(locate("..", &models).unwrap_err().is::<UsageError>());
    }
}
