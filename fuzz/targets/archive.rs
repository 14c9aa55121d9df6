//! A .keras file. Most changes are made inside the archive, which would otherwise be refused for its checksums alone.
#![no_main]

use common::package::ModelFormat;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

/// One of so many changes is made to the archive itself.
const FROM_OUTSIDE: u32 = 4;

fuzz_target!(|bytes: &[u8]| fuzzing::within_its_time(bytes.len(), || {
    fuzzing::read_model(bytes, ModelFormat::KerasArchive);
}));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let changed = (!seed.is_multiple_of(FROM_OUTSIDE))
        .then(|| {
            let which = usize::try_from(seed / FROM_OUTSIDE).unwrap_or_default();
            fuzzing::archive::change_entry(&data[..size], which, |contents, length| {
                let room = contents.len();
                fuzzer_mutate(contents, length, room)
            })
        })
        .flatten()
        .filter(|archive| archive.len() <= max_size);
    match changed {
        Some(archive) => {
            data[..archive.len()].copy_from_slice(&archive);
            archive.len()
        }
        None => fuzzer_mutate(data, size, max_size),
    }
});
