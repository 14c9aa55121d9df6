//! Reads a Keras model file to a [`Model`]: a flat list of typed layers with their weights, which [`Model::graph`] lowers to
//! the primitives that every engine computes.

use std::path::Path;

use common::package::ModelFormat;

mod architecture;
mod archive;
mod assembly;
pub mod bundle;
mod first_bytes;
mod graph;
mod hdf5;
mod json;
pub mod layers;
mod reader;
pub mod reading;
mod shapes;
mod weights;

pub use model::Tensor;

use self::architecture::Dialect;
use self::hdf5::Fault;
use self::layers::{Layer, Verdict, catalog};
use self::weights::Store;

/// Reads a model file in any of Keras's formats. `format` is the format that its name implies. Blocks on disk.
///
/// # Errors
/// [`ImportError`]; for a file with faults, all of them.
pub fn open(path: &Path, format: ModelFormat) -> Result<Model, ImportError> {
    match first_bytes::format(path, format)? {
        ModelFormat::Hdf5 => open_hdf5(path),
        ModelFormat::KerasArchive => open_archive(path),
        // It holds a graph of TensorFlow and not the layers of Keras.
        ModelFormat::SavedModel => Err(ImportError::faulty(format!(
            "`{}` is a SavedModel folder, expected a model saved as .keras, .h5 or .hdf5",
            path.display()
        ))),
    }
}

fn open_hdf5(path: &Path) -> Result<Model, ImportError> {
    let file = hdf5::open(path)?;
    let Some(config) = file.text("model_config")? else {
        let shown = path.display();
        let reason = if file.has_folder("layers")? || file.has_folder("_layer_checkpoint_dependencies")? {
            "holds a model's weights alone, as `save_weights` writes them"
        } else {
            "has no attribute `model_config`"
        };
        return Err(ImportError::faulty(format!(
            "`{shown}` {reason}, expected a whole model and not its weights alone: make the model as in training, \
             `model.load_weights(…)`, then `model.save(\"NAME.keras\")`"
        )));
    };
    let version = file.text("keras_version")?;
    let dialect = dialect(version.as_deref().unwrap_or_default())?;
    let architecture = architecture::parse(&config, dialect).map_err(ImportError::faulty)?;
    assembly::assemble(&architecture, dialect, &Store::ByName(file))
}

fn open_archive(path: &Path) -> Result<Model, ImportError> {
    let archive = archive::open(path)?;
    let dialect = dialect(&archive.version)?;
    let architecture = architecture::parse(&archive.config, dialect).map_err(ImportError::faulty)?;
    assembly::assemble(&architecture, dialect, &Store::ByClass(archive.weights))
}

/// The dialect of the version of Keras that saved the file.
fn dialect(version: &str) -> Result<Dialect, ImportError> {
    match version.split('.').next() {
        Some("2") => Ok(Dialect::Keras2),
        Some("3") => Ok(Dialect::Keras3),
        Some(_) | None => Err(ImportError::faulty(format!(
            "the file was saved by Keras version `{version}`, expected 2 or 3 in `keras_version`"
        ))),
    }
}

/// Returns how layers of a class are treated. `docs/layers.md` lists all classes.
#[must_use]
pub fn verdict(class: &str) -> Verdict {
    catalog::verdict(class)
}

/// Returns the version of Keras that wrote a model file, where the file can be read and says so. Blocks on disk.
#[must_use]
pub fn written_by(path: &Path, format: ModelFormat) -> Option<String> {
    let version = match first_bytes::format(path, format).ok()? {
        ModelFormat::Hdf5 => hdf5::open(path).ok()?.text("keras_version").ok()?,
        ModelFormat::KerasArchive => archive::version(path).ok(),
        ModelFormat::SavedModel => None,
    };
    version.filter(|version| !version.is_empty())
}

/// A classifier as Keras saved it: nested models flattened, attributes parsed, weights attached.
#[derive(Debug, Clone)]
pub struct Model {
    /// The model's own name.
    pub name: String,
    /// Every layer call, in topological order. A layer that is called twice is here twice, and shares its weights.
    pub nodes: Vec<Node>,
    /// Index of the one input, a [`Layer::Input`].
    pub input: usize,
    /// Indices of the outputs.
    pub outputs: Vec<usize>,
    /// The names of the outputs, in the same order: those that the model gives them, else those of their layers.
    pub output_names: Vec<String>,
    /// Layers of the outermost model, as Keras's own summary lists them.
    pub summary: Vec<SummaryRow>,
}

/// One call of one layer.
#[derive(Debug, Clone)]
pub struct Node {
    /// The layer's name, with the names of the models around it before it, joined by `/`. A second call of the same layer
    /// appends `:1`, a third `:2`.
    pub name: String,
    /// The layer's class as Keras writes it.
    pub class: String,
    /// What it computes.
    pub layer: Layer,
    /// Indices of the nodes it reads, in order.
    pub inputs: Vec<usize>,
}

/// A row of the summary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SummaryRow {
    /// The layer's name.
    pub name: String,
    /// The layer's class; for a nested model `Functional` or `Sequential`.
    pub class: String,
    /// Index in [`Model::nodes`] of the node that computes its output.
    pub node: usize,
    /// Number of its weights' elements.
    pub parameters: usize,
    /// Number of its trainable weights' elements.
    pub trainable: usize,
}

/// Why a file is not read to a model.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ImportError {
    /// The system refused to read the file. Another time it may succeed.
    #[error("{0}")]
    Unreadable(String),
    /// The file has faults. The error lists all of them, each with its layer.
    #[error("{}", problems.join("; "))]
    Faulty {
        /// One sentence each.
        problems: Vec<String>,
    },
}

impl ImportError {
    fn faulty(problem: impl Into<String>) -> Self {
        Self::Faulty { problems: vec![problem.into()] }
    }
}

impl From<Fault> for ImportError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unreadable(reason) => Self::Unreadable(format!("the model cannot be read: {reason}")),
            Fault::Damaged(reason) => Self::faulty(format!("the HDF5 file is damaged or cut off: {reason}")),
        }
    }
}
