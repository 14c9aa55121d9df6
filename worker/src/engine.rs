//! The seam between the pipeline and whatever computes the scores.

mod pixels;

use std::num::NonZeroUsize;
use std::sync::Arc;

use common::package::Package;

pub use self::pixels::Pixels;

/// Preprocessed images, ready for a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Number of images, at least 1.
    pub images: usize,
    /// Height, width and channels of each.
    pub shape: [usize; 3],
    /// `[images, height, width, channels]`, row-major.
    pub pixels: Pixels,
    /// Whether nobody else wants the machine: no other image is there, or was expected to come meanwhile.
    pub alone: bool,
}

impl Batch {
    /// A batch beside which others may want to be computed.
    pub fn new(images: usize, shape: [usize; 3], pixels: impl Into<Pixels>) -> Self {
        Self { images, shape, pixels: pixels.into(), alone: false }
    }
}

/// What a model says of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Number of outputs for each image.
    pub classes: usize,
    /// `[images, classes]`, row-major, as the model computes them.
    pub values: Vec<f32>,
}

/// A loaded model. Calls may come from several threads at once.
pub trait Engine: Send + Sync + 'static {
    /// Computes the scores of a batch. Blocks for as long as it takes.
    ///
    /// # Errors
    /// The batch has another shape than the model, or the library failed.
    fn predict(&self, batch: &Batch) -> Result<Scores, EngineError>;

    /// What it computes on, e.g. `cpu`.
    fn device(&self) -> &str;
}

/// Whether this device, as [`Engine::device`] names it, is a GPU.
#[must_use]
pub fn is_gpu(device: &str) -> bool {
    device.starts_with("gpu")
}

/// Most images in one call: as many as are wanted. Where nothing is said, a CPU computes few at a time however many there
/// are; a GPU gains a sixth from 64 over 32, and little from more.
#[must_use]
pub fn batch_size(wanted: Option<NonZeroUsize>, device: &str) -> usize {
    wanted.map_or(if is_gpu(device) { 64 } else { 32 }, NonZeroUsize::get)
}

/// A model that could not compute.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct EngineError(pub String);

/// Makes engines from packages.
pub trait EngineLoader: Send + Sync + 'static {
    /// Opens the package's model, checks it against its config and gets it ready. Blocks.
    ///
    /// # Errors
    /// [`LoadError`].
    fn load(&self, package: &Package) -> Result<Arc<dyn Engine>, LoadError>;

    /// What its engines will compute on, e.g. `cpu`.
    fn device(&self) -> &str {
        "cpu"
    }
}

/// Why a package gave no engine.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LoadError {
    /// The package has faults that every worker would find: all of them.
    #[error("{}", .0.join("; "))]
    Unservable(Vec<String>),
    /// This worker cannot load it now.
    #[error("{0}")]
    Unavailable(String),
}
