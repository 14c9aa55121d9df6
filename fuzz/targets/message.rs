//! A message from the queue: a part of a job, or a hint.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzzing::within_its_time(bytes.len(), || {
    if let Err(reason) = common::broker::rabbitmq::read_message(bytes) {
        assert!(!reason.is_empty(), "an error without words");
    }
}));
