//! Ways to change a file.

pub(crate) mod archive;
pub(crate) mod bytes;
pub(crate) mod hdf5;
pub(crate) mod json;
