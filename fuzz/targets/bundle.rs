//! A zip with a model and its labels, as `classifier serve` unpacks it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzzing::within_its_time(bytes.len(), || fuzzing::unpack(bytes)));
