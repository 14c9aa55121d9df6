//! `classifier check`: checks a package and its examples, one line per check.

use anyhow::Context as _;
use clap::Args;
use common::config::ModelsConfig;
use common::package::{ModelFormat, Package, PackageError, examples};
use engine::{Engine as _, LoadError};
use serde::Serialize;
use tensorflow_engine::{Library, open};
use worker::config::LibraryConfig;
use worker::engines::load;
use worker::examples::{ExampleOutcome, run as run_examples};

use super::inspect::locate;
use crate::exit::Exit;
use crate::output;
use crate::words;

/// What `--help` shows below the options.
pub const EXAMPLES: &str = "Examples:
  classifier check digits                     a package of the models folder
  classifier check path/to/digits --json      a package folder anywhere, for a script

Does what a worker does before it serves the package: reads and compares config and model, builds
the model and runs it once, then runs the package's examples and compares the scores with the
expected ones. Exits with 0 if all checks pass, with 1 if one fails, with 2 on wrong usage.

tools/package_model.py makes packages with examples. By hand: put images into the package's folder
`examples`, and beside them examples.json with the scores of Keras's `predict` for each:
  {\"tolerance\": 0.001, \"examples\": [{\"image\": \"dog.png\", \"scores\": [0.02, 0.98]}]}";

/// Options of the command.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Name of a package in the models folder, or a path to a package's folder.
    package: String,
    /// Print JSON instead of lines.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    models: ModelsConfig,
    #[command(flatten)]
    library: LibraryConfig,
}

/// The results of all checks.
#[derive(Debug, Serialize)]
struct Report {
    model: String,
    version: Option<String>,
    passed: bool,
    checks: Vec<Check>,
}

/// The result of one check.
#[derive(Debug, Serialize)]
struct Check {
    /// `config`, `model`, `warm-up`, `examples`, or `example` and the image's name.
    check: String,
    passed: bool,
    /// A sentence with the measured value.
    detail: String,
    /// For an example: the largest difference, as a fraction of the largest expected score.
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<f32>,
    /// For an example: the largest accepted difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    tolerance: Option<f32>,
}

impl Check {
    fn passed(check: &str, detail: String) -> Self {
        Self { check: check.to_owned(), passed: true, detail, difference: None, tolerance: None }
    }

    fn failed(check: &str, problems: Vec<String>) -> Vec<Self> {
        let failed = |problem| Self { passed: false, ..Self::passed(check, problem) };
        problems.into_iter().map(failed).collect()
    }

    fn example(outcome: &ExampleOutcome) -> Self {
        let name = format!("example `{}`", outcome.image);
        let sentence = outcome.to_string();
        let detail = sentence.strip_prefix(&name).and_then(|rest| rest.strip_prefix(": "));
        Self {
            passed: outcome.passed(),
            difference: outcome.found.as_ref().ok().map(|found| found.difference),
            tolerance: Some(outcome.tolerance),
            ..Self::passed(&name, detail.unwrap_or(&sentence).to_owned())
        }
    }
}

/// Runs the command.
///
/// # Errors
/// There is no such package, or no TensorFlow library.
pub fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let (catalog, name) = locate(&arguments.package, &arguments.models)?;
    let (version, checks) = match catalog.open(&name) {
        Ok(package) => {
            let library = open(&arguments.library.settings())?;
            let spinner = output::spinner(&format!("checking {name}"));
            let checks = checks(&library, &package).context("the package cannot be checked now")?;
            spinner.finish_and_clear();
            (Some(package.version.as_str().to_owned()), checks)
        }
        Err(PackageError::Invalid { problems, .. }) => (None, Check::failed("config", problems)),
        Err(error @ (PackageError::Missing(_) | PackageError::Unreadable { .. })) => return Err(error.into()),
    };
    let passed = checks.iter().all(|check| check.passed);
    let report = Report { model: name.as_str().to_owned(), version, passed, checks };
    if arguments.json {
        output::json(&report)?;
    } else {
        print(&report)?;
    }
    Ok(Exit::done_if(passed))
}

fn checks(library: &Library, package: &Package) -> Result<Vec<Check>, LoadError> {
    let config = &package.config;
    let [height, width, channels] = config.preprocessing.input_shape;
    let mut checks = vec![Check::passed("config", words::summary(config))];
    checks.extend(config.remarks.iter().map(|remark| Check::passed("remark", remark.clone())));
    let engine = match load(library, package) {
        Ok(engine) => engine,
        Err(LoadError::Unservable(problems)) => {
            checks.extend(Check::failed("model", problems));
            checks.extend(Check::failed("examples", vec!["not run, as the model cannot be".to_owned()]));
            return Ok(checks);
        }
        Err(error @ LoadError::Unavailable(_)) => return Err(error),
    };
    let outputs = config.postprocessing.outputs();
    let whole = match package.model.format {
        ModelFormat::Hdf5 | ModelFormat::KerasArchive => "every layer is supported",
        ModelFormat::SavedModel => "every operation is known",
    };
    checks.push(Check::passed(
        "model",
        format!("{whole}; takes {height}×{width}×{channels} and has {outputs} outputs, as the config says"),
    ));
    checks.push(Check::passed("warm-up", format!("finite scores, on {}", engine.device().name())));
    match examples::open(package) {
        Ok(examples) if examples.is_empty() => checks.push(Check::passed(
            "examples",
            "none: the scores are not verified; `classifier check --help` tells how to add some".to_owned(),
        )),
        Ok(examples) => checks.extend(run_examples(package, &engine, &examples).iter().map(Check::example)),
        Err(problems) => checks.extend(Check::failed("examples", problems)),
    }
    Ok(checks)
}

fn print(report: &Report) -> anyhow::Result<()> {
    let width = report.checks.iter().map(|check| check.check.chars().count()).max().unwrap_or(0);
    for Check { check, passed, detail, .. } in &report.checks {
        let verdict = if *passed { "ok  " } else { "FAIL" };
        output::line(&format!("{verdict}  {check:<width$}  {detail}"))?;
    }
    let failed = report.checks.iter().filter(|check| !check.passed).count();
    let passed = report.checks.len() - failed;
    Ok(output::line(&format!("{}: {passed} passed, {failed} failed", report.model))?)
}
