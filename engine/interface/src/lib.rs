//! The interface between a worker and an engine.
//!
//! An [`Engine`] is one loaded model and computes the scores of a [`Batch`]. [`Calls`] describes how it should be
//! called, so that the worker is independent of what computes. An [`EngineLoader`] makes engines from packages. [`outputs`]
//! finds the scores among a model's outputs. [`npy`] reads and writes arrays for the commands and tests of single models.
//!
//! # Adding an engine
//!
//! 1. A crate beside `engine/tensorflow` with an [`Engine`] made from a `model::Graph`: it calls
//!    `model::passes::standard` first and computes every `model::Op`.
//! 2. `worker/src/engines.rs`: the choice. `load` and `engine` there return TensorFlow's type so far.
//! 3. `worker/src/config.rs` and `worker/src/main.rs`: its settings and its start. The commands `check`, `score`,
//!    `examples` and `inspect` take TensorFlow's library so far.
//! 4. Tests: random graphs against `model::reference`, as in `engine/tensorflow/tests/it/primitives/random.rs`.

pub mod npy;
pub mod outputs;
mod pixels;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;

use common::package::Package;

pub use self::pixels::Pixels;

/// Preprocessed images, ready for a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Number of images, at least 1.
    pub images: usize,
    /// Height, width and channels of each image.
    pub shape: [usize; 3],
    /// `[images, height, width, channels]`, row-major.
    pub pixels: Pixels,
    /// Whether the batch may use the whole machine: no other image is in the pipeline or expected.
    pub alone: bool,
}

impl Batch {
    /// Creates a batch that shares the machine with others.
    pub fn new(images: usize, shape: [usize; 3], pixels: impl Into<Pixels>) -> Self {
        Self { images, shape, pixels: pixels.into(), alone: false }
    }
}

/// The output of a model for a batch.
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

    /// Returns the device that it computes on.
    fn device(&self) -> &Device;

    /// Returns how it should be called.
    fn calls(&self) -> Calls {
        Calls::default()
    }
}

/// The device of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Device {
    /// The CPU.
    Cpu,
    /// A GPU, by its name: `gpu:0`.
    Gpu(String),
}

impl Device {
    /// Returns its name in the list of workers.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Cpu => "cpu",
            Self::Gpu(name) => name,
        }
    }
}

/// How an engine should be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calls {
    /// Most images in one call, at least 1.
    pub batch_size: usize,
    /// Most concurrent calls, at least 1.
    pub at_once: usize,
    /// Most waiting images that one thread takes, at least 1, so that other threads get their share. `None`: all that
    /// fit into a call.
    pub images_a_thread: Option<usize>,
    /// Parts of jobs to hold at once, so that the next batch is decoded while one is computed. A part may have one
    /// image.
    pub parts_in_hand: usize,
}

impl Default for Calls {
    /// For a small CPU: any number of calls of up to 32 images, two images per thread.
    fn default() -> Self {
        Self { batch_size: 32, at_once: usize::MAX, images_a_thread: Some(2), parts_in_hand: 12 }
    }
}

/// A failed computation.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct EngineError(pub String);

/// Makes engines from packages.
pub trait EngineLoader: Send + Sync + 'static {
    /// Opens the package's model, checks it against its config and prepares it. Blocks.
    ///
    /// # Errors
    /// [`LoadError`].
    fn load(&self, package: &Package) -> Result<Arc<dyn Engine>, LoadError>;

    /// Returns the device of its engines.
    fn device(&self) -> &Device {
        &Device::Cpu
    }

    /// Returns how its engines should be called.
    fn calls(&self) -> Calls {
        Calls::default()
    }
}

/// Why a package cannot be loaded.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LoadError {
    /// The package has problems that every worker would find: all of them.
    #[error("{}", .0.join("; "))]
    Unservable(Vec<String>),
    /// This worker cannot load it now.
    #[error("{0}")]
    Unavailable(String),
}

/// Returns the number of cores that this process may use.
#[must_use]
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}
