//! Finds and opens the TensorFlow library at run time.
//!
//! The crate `tensorflow` opens `$TENSORFLOW_DIR/libtensorflow.so` and panics at the first call if the library is missing
//! or lacks a function. So everything is checked here first, and a fault becomes one sentence with its remedy.

use std::ffi::{CStr, c_char};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::search::{FILE, Found, find};
use super::winograd::Winograd;
use super::{memory, probe};
use engine::{Calls, Device};

mod search;

/// The prefix of the versions whose C API and operations the graph is written for.
const MAJOR: &str = "2.";

/// The functions of the library that are called. A library that lacks one is unusable.
const FUNCTIONS: [&str; 12] = [
    "TF_Version",
    "TF_NewGraph",
    "TF_NewOperation",
    "TF_FinishOperation",
    "TF_SetAttrTensor",
    "TF_GraphGetTensorShape",
    "TF_NewSession",
    "TF_SetConfig",
    "TF_SessionRun",
    "TF_SessionListDevices",
    "TF_AllocateTensor",
    "TF_LoadSessionFromSavedModel",
];

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
fn batch_size(wanted: Option<NonZeroUsize>, device: &Device) -> usize {
    let usual = match device {
        Device::Cpu => 32,
        Device::Gpu(_) => 64,
    };
    wanted.map_or(usual, NonZeroUsize::get)
}

/// A library that was found and whose settings are in the environment.
#[derive(Debug, Clone)]
pub struct Prepared {
    found: Arc<Found>,
    settings: Settings,
}

/// Opens the library. Later calls return the open one, whatever their settings.
///
/// Call it before other threads of the program read the environment from C code, as early in `main` as
/// can be: the crate `tensorflow` and the library take their settings from there only.
///
/// # Errors
/// [`LibraryError`], with what to do about it.
pub fn open(settings: &Settings) -> Result<Library, LibraryError> {
    // A statement of its own, which releases the lock before the library is opened.
    let open = opened().clone();
    match open {
        Some(library) => Ok(library),
        None => prepare(settings)?.open(),
    }
}

/// Finds the library and writes its settings into the environment, which is quick, and after which
/// [`Prepared::open`] may be called on any thread. Call it as early in `main` as [`open`].
///
/// # Errors
/// [`LibraryError::Missing`].
pub fn prepare(settings: &Settings) -> Result<Prepared, LibraryError> {
    let found = find(settings.folder.as_deref(), &settings.python_environments)?;
    set_environment(found.opened_in(), settings);
    Ok(Prepared { found: Arc::new(found), settings: settings.clone() })
}

impl Prepared {
    /// Opens the library as [`open`] does. That takes a second or more, on a GPU many.
    ///
    /// # Errors
    /// [`LibraryError::Unusable`].
    pub fn open(&self) -> Result<Library, LibraryError> {
        let mut opened = opened();
        if let Some(library) = opened.as_ref() {
            return Ok(library.clone());
        }
        let Self { found, settings } = self;
        let file = found.opened_in().join(FILE);
        let cores = settings.cores.map_or_else(engine::cores, NonZeroUsize::get);
        let version = probe(&file)?;
        let unusable = |reason| LibraryError::Unusable { path: file.clone(), reason };
        tensorflow::library::load().map_err(unusable)?;
        let device = probe::device().map_err(unusable)?;
        let max_batch_size = batch_size(settings.max_batch_size, &device);
        let mut library = Library {
            device,
            folder: found.folder.clone(),
            version,
            cores,
            max_batch_size,
            convolutions: Convolutions::Plain,
            bfloat16: None,
            winograd: Winograd::Never,
        };
        library.convolutions = probe::convolutions(&library);
        library.bfloat16 = probe::bfloat16(&library);
        library.winograd = settings.winograd;
        let device = library.device.name();
        tracing::info!(folder = %library.folder.display(), version = library.version, device, "opened the TensorFlow library");
        memory::give_back();
        Ok(opened.insert(library).clone())
    }
}

/// The library of this process, once it is open.
fn opened() -> MutexGuard<'static, Option<Library>> {
    static OPENED: Mutex<Option<Library>> = Mutex::new(None);
    OPENED.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(unsafe_code, reason = "the environment is the only way to tell the crate and the library")]
fn set_environment(folder: &Path, settings: &Settings) {
    let hidden = match settings.messages {
        Messages::All => "0",
        Messages::Warnings => "1",
        Messages::Errors => "2",
        Messages::Nothing => "3",
    };
    // SAFETY: Rust's own readers of the environment are locked against this. Readers in C code are not:
    // `open` and `prepare` are documented to come before threads that run any.
    unsafe {
        std::env::set_var("TENSORFLOW_DIR", folder);
        std::env::set_var("TF_CPP_MIN_LOG_LEVEL", hidden);
        // Each session has the threads of its own configuration, not those of the first session.
        std::env::set_var("TF_OVERRIDE_GLOBAL_THREADPOOL", "1");
        // NVIDIA's own variable, for all of its libraries.
        std::env::set_var("NVIDIA_TF32_OVERRIDE", if settings.tensor_float_32 { "1" } else { "0" });
    }
}

/// Opens the file as a library, checks that it has all functions, and returns its version.
#[expect(unsafe_code, reason = "opening a library and calling into it cannot be checked by the compiler")]
fn probe(path: &Path) -> Result<String, LibraryError> {
    let unusable = |reason: String| LibraryError::Unusable { path: path.to_owned(), reason };
    // SAFETY: this runs the library's initializers, as the crate `tensorflow` will right after.
    let library = unsafe { libloading::Library::new(path) }.map_err(|error| unusable(error.to_string()))?;
    let missing: Vec<&str> = FUNCTIONS
        .into_iter()
        // SAFETY: the symbol is only looked up, not called.
        .filter(|name| unsafe { library.get::<unsafe extern "C" fn()>(name.as_bytes()) }.is_err())
        .collect();
    if !missing.is_empty() {
        return Err(unusable(format!("it has no function `{}`", missing.join("`, `"))));
    }
    // SAFETY: in TensorFlow's C API `TF_Version` takes nothing and returns a string that lasts as long
    // as the library.
    let version = unsafe {
        let version = library
            .get::<unsafe extern "C" fn() -> *const c_char>(b"TF_Version")
            .map_err(|error| unusable(error.to_string()))?;
        CStr::from_ptr(version()).to_string_lossy().into_owned()
    };
    // It stays open for as long as the process lives; closing it would run its destructors.
    std::mem::forget(library);
    if version.starts_with(MAJOR) {
        Ok(version)
    } else {
        Err(unusable(format!("it is version {version}, expected {MAJOR}x")))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

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

    #[test]
    fn a_file_that_is_no_library_is_told_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        for content in ["", "some text", "\x7fELF and then nothing of the kind"] {
            fs::write(&path, content).unwrap();
            let error = probe(&path).unwrap_err().to_string();
            assert!(
                error.contains(&*path.to_string_lossy()) && error.contains("fetch_tensorflow"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_library_without_the_functions_is_refused_with_their_names() {
        // A library that this very program has open, so it is one for this machine.
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let c_library = maps.lines().filter_map(|line| line.split_whitespace().nth(5));
        let c_library = c_library.into_iter().find(|path| path.contains("libc.so")).unwrap();
        let error = probe(Path::new(c_library)).unwrap_err().to_string();
        assert!(error.contains("it has no function `TF_Version`, `TF_NewGraph`"), "{error}");
    }
}
