//! The JSON body of a request.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzzing::within_its_time(bytes.len(), || {
    fuzzing::read_request("application/json", bytes);
}));
