//! The TensorFlow library of a process: where it is found, what it is, and how it computes on this machine.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::winograd::Winograd;
use engine::{Calls, Device};

mod check;
mod search;

pub(super) use self::check::version;
pub(super) use self::search::{FILE, Found, find};

const REMEDY: &str = "run `python3 tools/fetch_tensorflow.py` or `pip install tensorflow-cpu`, or set TENSORFLOW_DIR to a \
                      folder with it";

/// Where the library is, and how it should behave.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The folder that holds `libtensorflow.so`, or that of Python's package `tensorflow`. `None`: `.cache/tensorflow` in
    /// the current folder, in the program's, or in any folder above these; then the Python environment that the program
    /// is installed in, the active one, and the system's library folders.
    pub folder: Option<PathBuf>,
    /// Python environments to look for it in, where no folder is named.
    pub python_environments: Vec<PathBuf>,
    /// Which of the library's own messages go to standard error.
    pub messages: Messages,
    /// Most runs at a time on a CPU. `None`: one for each core.
    pub cores: Option<NonZeroUsize>,
    /// Most images in one batch, for which a GPU is prepared. `None`: 64 on a GPU and 32 on a CPU.
    pub max_batch_size: Option<NonZeroUsize>,
    /// Whether a GPU may compute products of float32 in TensorFloat-32, with 11 bits of precision in place of 24. That is
    /// twice as quick, but the results differ from Keras's.
    pub tensor_float_32: bool,
    /// When a CPU computes convolutions in Winograd tiles.
    pub winograd: Winograd,
}

/// The library's own messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Messages {
    /// All of them.
    All,
    /// Warnings and errors.
    Warnings,
    /// Errors. The error of a failed call is returned to the caller in any case.
    #[default]
    Errors,
    /// None.
    Nothing,
}

/// The opened library, of which a process has one. Whoever has this may call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    /// Where it was found.
    pub folder: PathBuf,
    /// Its version, such as `2.21.0`.
    pub version: String,
    /// The device that computes.
    pub device: Device,
    /// Most runs at a time on a CPU.
    pub cores: usize,
    /// Most images that a GPU computes in one run.
    pub max_batch_size: usize,
    /// How convolutions are computed.
    pub convolutions: Convolutions,
    /// How convolutions are computed where a package asks for bfloat16, if that works here.
    pub bfloat16: Option<Convolutions>,
    /// When fused convolutions are computed in Winograd tiles.
    pub winograd: Winograd,
}

/// How convolutions are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Convolutions {
    /// With bias and ReLU, by TensorFlow's fused operations for CPUs with oneDNN.
    Fused,
    /// As [`Fused`](Self::Fused), in bfloat16.
    FusedBfloat16,
    /// By operations that every build of TensorFlow has.
    Plain,
    /// As [`Plain`](Self::Plain), in bfloat16.
    PlainBfloat16,
}

/// Why the library cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LibraryError {
    /// It was not found.
    #[error("the TensorFlow library `{FILE}` was not found in {}: {REMEDY}", .looked_in.join(", "))]
    Missing {
        /// The folders that were looked in.
        looked_in: Vec<String>,
    },
    /// The file that was found does not work here.
    #[error("`{}` cannot be used as the TensorFlow library: {reason}; {REMEDY}", .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl Library {
    /// How its engines want to be called.
    #[must_use]
    pub fn calls(&self) -> Calls {
        let batch_size = self.max_batch_size;
        match self.device {
            // A GPU computes one call after the other and gains from large ones. A second call keeps it busy while the
            // result of the first is fetched. More calls would only make smaller batches.
            Device::Gpu(_) => Calls {
                batch_size,
                at_once: RUNS_ON_A_GPU,
                images_a_thread: None,
                parts_in_hand: batch_size.saturating_mul(2),
            },
            // A core gains nothing from more than a few images at once, and another core may be idle earlier.
            Device::Cpu => Calls {
                batch_size,
                at_once: usize::MAX,
                images_a_thread: Some(IMAGES_A_CORE),
                parts_in_hand: batch_size / 4 + 2 * engine::cores(),
            },
        }
    }
}

/// Calls at once on a GPU: one computes while the next one's images are on their way.
pub(super) const RUNS_ON_A_GPU: usize = 2;

/// Images that a core computes at once. Two share one load of the weights from memory. With more, the values between
/// operations do not stay in the core's caches, and other images wait longer.
pub(super) const IMAGES_A_CORE: usize = 2;

/// Most images in one call, by default 32 on a CPU and 64 on a GPU. A CPU computes few at a time in any case. A GPU is a
/// sixth quicker at 64 than at 32, and hardly quicker at more.
pub(super) fn batch_size(wanted: Option<NonZeroUsize>, device: &Device) -> usize {
    let usual = match device {
        Device::Cpu => 32,
        Device::Gpu(_) => 64,
    };
    wanted.map_or(usual, NonZeroUsize::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_gets_larger_batches_and_has_two_of_them_in_hand_and_a_core_gets_its_share() {
        let wanted = |device: &Device, wanted| batch_size(NonZeroUsize::new(wanted), device);
        let gpu = Device::Gpu("gpu:0".to_owned());
        assert_eq!([&Device::Cpu, &gpu].map(|device| wanted(device, 0)), [32, 64]);
        assert_eq!([&Device::Cpu, &gpu].map(|device| wanted(device, 8)), [8, 8]);
        let library = Library {
            folder: PathBuf::new(),
            version: String::new(),
            device: gpu,
            cores: 8,
            max_batch_size: 64,
            convolutions: Convolutions::Plain,
            bfloat16: None,
            winograd: Winograd::Never,
        };
        let calls = library.calls();
        assert_eq!((calls.at_once, calls.images_a_thread, calls.parts_in_hand), (2, None, 128));
        let calls = Library { device: Device::Cpu, max_batch_size: 8, ..library }.calls();
        assert_eq!((calls.at_once, calls.images_a_thread), (usize::MAX, Some(2)));
        assert_eq!(calls.parts_in_hand, 2 + 2 * engine::cores());
    }
}
