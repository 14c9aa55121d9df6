//! Detects a file's format by its first bytes, since the name may be wrong: `model.save("m.keras")` of Keras 2.11 and older
//! wrote HDF5, and converters name archives `.h5`.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use common::package::{ModelFormat, in_place_of_a_model};

use super::ImportError;

/// The length of the longest signature.
const LENGTH: u64 = 64;

/// Returns the format of a file, or the one of its name where the bytes do not show it.
///
/// # Errors
/// The file cannot be read, or it holds something else in place of a model.
pub(super) fn format(path: &Path, promised: ModelFormat) -> Result<ModelFormat, ImportError> {
    if promised == ModelFormat::SavedModel {
        return Ok(promised);
    }
    let shown = path.display();
    let unreadable = |error: io::Error| ImportError::Unreadable(format!("`{shown}` cannot be read: {error}"));
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(LENGTH).read_to_end(&mut bytes)).map_err(unreadable)?;
    if let Some(stranger) = in_place_of_a_model(&bytes) {
        return Err(ImportError::faulty(format!("`{shown}` {stranger}")));
    }
    // HDF5 specification, superblock; APPNOTE.TXT of PKWARE, local file header.
    Ok(if bytes.starts_with(b"\x89HDF\r\n\x1a\n") {
        ModelFormat::Hdf5
    } else if bytes.starts_with(b"PK\x03\x04") {
        ModelFormat::KerasArchive
    } else {
        promised
    })
}
