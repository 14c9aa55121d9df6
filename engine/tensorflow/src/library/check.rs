//! Checks a library file before the crate `tensorflow` opens it.
//!
//! That crate opens `$TENSORFLOW_DIR/libtensorflow.so` and panics at the first call if the library is missing or lacks a
//! function. So everything is checked here first, and a fault becomes one sentence with its remedy.

use std::ffi::{CStr, c_char};
use std::path::Path;

use super::LibraryError;

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

/// Opens the file as a library, checks that it has all functions, and returns its version.
#[expect(unsafe_code, reason = "opening a library and calling into it cannot be checked by the compiler")]
pub(crate) fn version(path: &Path) -> Result<String, LibraryError> {
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
    use crate::library::FILE;

    #[test]
    fn a_file_that_is_no_library_is_told_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        for content in ["", "some text", "\x7fELF and then nothing of the kind"] {
            fs::write(&path, content).unwrap();
            let error = version(&path).unwrap_err().to_string();
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
        let error = version(Path::new(c_library)).unwrap_err().to_string();
        assert!(error.contains("it has no function `TF_Version`, `TF_NewGraph`"), "{error}");
    }
}
