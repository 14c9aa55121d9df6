//! Chooses the engine of a package and opens its file: the only module that knows all formats and engines.

use std::sync::Arc;

use common::package::{ModelFormat, Package};
use engine::{Calls, Device, Engine, EngineLoader, LoadError};
use keras::ImportError;
use tensorflow_engine::{
    Library, LibraryError, Prepared, Settings, TensorflowEngine, load_saved_model, open,
};

/// Opens the TensorFlow library and returns its engine loader.
///
/// # Errors
/// There is no usable library; the error says what to do.
pub fn loader(settings: &Settings) -> Result<Arc<dyn EngineLoader>, LibraryError> {
    Ok(Arc::new(Loader { library: open(settings)? }))
}

/// Opens a library that was found before and returns its engine loader.
///
/// # Errors
/// The library is not usable; the error says what to do.
pub fn loader_with(library: &Prepared) -> Result<Arc<dyn EngineLoader>, LibraryError> {
    Ok(Arc::new(Loader { library: library.open()? }))
}

struct Loader {
    library: Library,
}

impl EngineLoader for Loader {
    fn load(&self, package: &Package) -> Result<Arc<dyn Engine>, LoadError> {
        Ok(Arc::new(load(&self.library, package)?))
    }

    fn device(&self) -> &Device {
        &self.library.device
    }

    fn calls(&self) -> Calls {
        self.library.calls()
    }
}

/// Opens a package's model, checks it against its config and prepares it.
///
/// # Errors
/// [`LoadError`], with all problems of the package.
pub fn load(library: &Library, package: &Package) -> Result<TensorflowEngine, LoadError> {
    for remark in &package.config.remarks {
        tracing::warn!(model = %package.name, "{remark}");
    }
    match package.model.format {
        ModelFormat::SavedModel => load_saved_model(library, package),
        ModelFormat::Hdf5 | ModelFormat::KerasArchive => {
            let model =
                keras::open(&package.model.path, package.model.format).map_err(|error| match error {
                    ImportError::Faulty { problems } => LoadError::Unservable(problems),
                    ImportError::Unreadable(reason) => LoadError::Unavailable(reason),
                })?;
            tensorflow_engine::load(library, &package.config, model)
        }
    }
}
