//! An .hdf5 file, as an operator may copy it into the models folder.
#![no_main]

use common::package::ModelFormat;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzzing::within_its_time(bytes.len(), || {
    fuzzing::read_model(bytes, ModelFormat::Hdf5);
}));
