//! What files say of their own input and scores. The models are those of `worker/tests/fixtures/others`, whose scripts say
//! what they are made of; those of tutorials are in `cli/tests/it/tutorials.rs`.

use common::package::ModelFormat;
use keras::open;
use keras::reading::{Ending, Pixels, Reading, of};

use testing::repository;

fn reading(name: &str) -> Reading {
    let format = if name.ends_with(".keras") { ModelFormat::KerasArchive } else { ModelFormat::Hdf5 };
    let path = repository().join("worker/tests/fixtures/others").join(name);
    of(&open(&path, format).unwrap_or_else(|error| panic!("{name}: {error}")), 0)
}

#[test]
fn a_named_function_of_keras_says_which_values_it_scales() {
    let found = reading("k2_lambda_named.h5");
    let Pixels::From0To255 { scaled_by } = &found.pixels else { panic!("{found:?}") };
    assert!(scaled_by.starts_with("`x "), "{scaled_by}");
    assert_eq!(found.input, [Some(32), Some(32), Some(3)]);
}

#[test]
fn inputs_of_each_form_are_told_and_nothing_is_said_that_is_not_in_the_file() {
    for (name, input, scores) in [
        ("k2_flat28.h5", &[28, 28][..], 10),
        ("k3_flat784.h5", &[784], 10),
        ("made3_channels_first.keras", &[3, 10, 12], 3),
    ] {
        let found = reading(name);
        let sizes: Vec<usize> = found.input.iter().flatten().copied().collect();
        assert_eq!((sizes.as_slice(), found.scores), (input, Some(scores)), "{name}: {found:?}");
        assert_eq!(found.pixels, Pixels::Unsaid { scaled_by: None }, "{name}");
        assert_eq!(found.stretched_to, None, "{name}");
    }
    assert_eq!(reading("made3_channels_first.keras").ending, Ending::Softmax);
    assert_eq!(reading("made2_numbered_linux.keras").ending, Ending::Other("Dense".to_owned()));
}

#[test]
fn a_sequential_of_sequentials_alone_is_not_of_teachable_machine() {
    let found = reading("k2_model_config_batch_input_shape.h5");
    assert_eq!((found.pixels, found.ending), (Pixels::Unsaid { scaled_by: None }, Ending::Softmax));
}
