//! A model without a package: what it is, how its images are read, and the package that says so.
//!
//! Nothing is guessed. What neither the model nor a file beside it nor a flag says is `Undecided`, with the choices.

use std::path::Path;

use common::ids::ModelName;
use common::package::ModelFormat;
use common::package::config::ModelConfig;
use serde_json::{Map, Value, json};

use crate::usage::UsageError;
use crate::words;

pub mod choices;
mod facts;
mod folder;
mod labels;
mod pixels;
mod scores;
mod source;

pub use self::choices::Choices;
use self::facts::Facts;
pub use self::folder::{Replaces, Served};
pub use self::source::{Source, is_package};

/// A model with everything that its package says.
pub struct Unpackaged {
    /// Where it is.
    pub source: Source,
    /// The package's name.
    pub name: ModelName,
    /// The package's config.
    pub config: Value,
    /// What was understood, a line each.
    pub understood: Vec<String>,
}

/// What is not known: a sentence each, with the flags that say it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Undecided(Vec<String>);

impl Undecided {
    /// Keeps what is decided; collects what is not.
    fn take<T>(&mut self, decided: Result<T, String>) -> Option<T> {
        decided.map_err(|open| self.0.push(open)).ok()
    }
}

/// Understands the model at a path, with what the flags say. Blocks on disk.
///
/// # Errors
/// There is no model, it cannot be read, or something about it is not known.
pub fn understand(path: &Path, choices: &Choices) -> anyhow::Result<Unpackaged> {
    let source = Source::at(path)?;
    let name = choices.name_of(&source)?;
    let facts = Facts::of(&source, choices.output.as_deref())?;
    let mut undecided = Undecided::default();
    let read = undecided.take(pixels::read(&facts, choices));
    let labels = undecided.take(labels::of(&source, &facts, choices));
    let scores = undecided.take(scores::scored(&facts, labels, choices));
    let (Some(read), Some(scores), true) = (read, scores, undecided.0.is_empty()) else {
        let said = undecided.0.join("\n\n");
        return Err(UsageError(format!("`{}` is not served yet: {said}", path.display())).into());
    };
    let mut config = Map::from_iter([("model_name".to_owned(), json!(name.as_str()))]);
    config.extend(read.config);
    config.extend(scores.config);
    config.insert("comments".to_owned(), json!(format!("images are read {}", read.because)));
    let config = Value::Object(config);
    // The pieces are valid by themselves: what is wrong with them together is a flag's value.
    let parsed = ModelConfig::parse(config.to_string().as_bytes())
        .map_err(|problems| UsageError(format!("the package would be invalid: {}", problems.join("; "))))?;
    let format = words::format(source.format, facts.written_by.as_deref());
    let understood = vec![
        format!("{}: {format}", source.shown()),
        format!("pixels: {}, {}", words::brief(&parsed.preprocessing), read.because),
        format!("labels: {}", scores.labels),
        format!("scores: {}", scores.scores),
    ];
    Ok(Unpackaged { source, name, config, understood })
}

/// Returns whether a model's layers can be read, and not only its graph.
fn has_layers(format: ModelFormat) -> bool {
    match format {
        ModelFormat::Hdf5 | ModelFormat::KerasArchive => true,
        ModelFormat::SavedModel => false,
    }
}
