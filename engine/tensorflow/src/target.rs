//! What a graph is built for.

use super::library::{Convolutions, Library};
use engine::Device;

/// The library and the options that a graph is built for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) library: &'a Library,
    pub(super) convolutions: Convolutions,
    /// Whether the graph takes uint8 pixel values, besides the float32 values that the model takes.
    pub(super) takes_uint8: bool,
}

impl<'a> Target<'a> {
    /// The best target on this machine, without loss of accuracy. A GPU is sent a quarter of the bytes where images are
    /// uint8. On a CPU nothing has to be sent.
    pub(super) fn of(library: &'a Library) -> Self {
        Self { library, convolutions: library.convolutions, takes_uint8: library.device != Device::Cpu }
    }
}
