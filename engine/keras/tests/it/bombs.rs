//! Small files that would take gigabytes or hours without bounds. They come from
//! `tests/fixtures/keras/make.py`; that nothing grows beyond bounds is measured by `examples/mutants`.

use std::time::{Duration, Instant};

use common::package::ModelFormat;
use keras::open;

use crate::importer::fixture;

/// Far more time than any of them takes, far less than without bounds.
const PATIENCE: Duration = Duration::from_secs(60);

fn check(file: &str, says: &str) {
    let format = if file.ends_with(".keras") { ModelFormat::KerasArchive } else { ModelFormat::Hdf5 };
    let begin = Instant::now();
    let error = open(&fixture(file), format).unwrap_err().to_string();
    assert!(begin.elapsed() < PATIENCE, "{file} took {:?}", begin.elapsed());
    assert!(error.contains(says), "{file}: {error}");
}

#[test]
fn one_array_under_many_names_counts_as_often() {
    check(
        "bomb_one_array.hdf5",
        "its contents have more than 67178500 bytes, expected at most the file's own",
    );
}

#[test]
fn one_text_behind_many_references_counts_as_often() {
    check(
        "bomb_one_text.hdf5",
        "its contents have more than 67294824 bytes, expected at most the file's own",
    );
}

#[test]
fn models_that_call_each_other_twice_are_counted() {
    check("bomb_calls.keras", "the model has more than 50000 calls of layers and models");
}

#[test]
fn many_small_values_are_refused_before_they_are_read() {
    check("bomb_values.keras", "the model's config takes 1713800898 bytes, expected at most 100663296");
}

#[test]
fn a_long_name_is_refused_and_a_name_that_is_repeated_too_often() {
    check(
        "bomb_name.keras",
        "has a name of 2000 bytes with those of the models around it, expected at most 1024",
    );
    check("bomb_names.keras", "the model's calls take more than 67108864 bytes");
}
