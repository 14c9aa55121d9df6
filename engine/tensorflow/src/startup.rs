//! Opens the TensorFlow library at run time, and finds out what it can do here.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::library::{
    Convolutions, FILE, Found, Library, LibraryError, Messages, Settings, batch_size, find, version,
};
use super::winograd::Winograd;
use super::{memory, probe};

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
        let version = version(&file)?;
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
