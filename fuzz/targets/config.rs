//! A package's config.
#![no_main]

use common::package::ModelConfig;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzzing::within_its_time(bytes.len(), || match ModelConfig::parse(bytes) {
    Ok(config) => assert!(!config.postprocessing.classes().is_empty(), "a config without labels"),
    Err(problems) => assert!(problems.iter().all(|problem| !problem.is_empty()) && !problems.is_empty()),
}));
