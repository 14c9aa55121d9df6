//! What a worker and an engine know of each other.
//!
//! An [`Engine`] is one loaded model and computes scores of a [`Batch`]. It says with [`Calls`] how it wants to be called, so
//! that the worker need not know what computes. An [`EngineLoader`] makes engines from packages. [`npy`]
//! reads and writes arrays for the commands and tests that look at one model.

pub mod npy;
mod pixels;

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

    /// What it computes on.
    fn device(&self) -> &Device;

    /// How it wants to be called.
    fn calls(&self) -> Calls {
        Calls::default()
    }
}

/// What an engine computes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    Cpu,
    /// A GPU, by its name: `gpu:0`.
    Gpu(String),
}

impl Device {
    /// As the list of workers names it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Cpu => "cpu",
            Self::Gpu(name) => name,
        }
    }
}

/// How an engine wants to be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calls {
    /// Most images in one call, at least 1.
    pub batch_size: usize,
    /// Most calls at once, at least 1.
    pub at_once: usize,
    /// Most images that one thread takes of those that wait, at least 1, so that other threads get their share. `None`: it
    /// takes all that fit into a call.
    pub images_a_thread: Option<usize>,
    /// Parts of jobs to have in hand, so that a next batch is decoded while one is computed. A part may hold one image.
    pub parts_in_hand: usize,
}

impl Default for Calls {
    /// As a small processor: any number of calls of up to 32 images, two images a thread.
    fn default() -> Self {
        Self { batch_size: 32, at_once: usize::MAX, images_a_thread: Some(2), parts_in_hand: 12 }
    }
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

    /// What its engines will compute on.
    fn device(&self) -> &Device {
        &Device::Cpu
    }

    /// How its engines will want to be called.
    fn calls(&self) -> Calls {
        Calls::default()
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
