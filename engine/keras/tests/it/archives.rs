//! `.keras` archives of Keras 2 and Keras 3 give the same models as `.hdf5` files. The files come from
//! `tests/fixtures/keras/make.py`.

use crate::importer::{check_changes, check_facts, check_problems, fixture, read};

#[test]
fn archives_of_both_dialects_have_the_weights_and_sizes_that_keras_says() {
    for name in ["every_layer", "deep", "sequential", "half"] {
        for dialect in [2, 3] {
            let model = read(&fixture(&format!("{name}_keras{dialect}.keras")));
            check_facts(&model, &format!("{name}_keras{dialect}.json"));
        }
    }
}

#[test]
fn archives_may_be_compressed() {
    check_facts(&read(&fixture("compressed.keras")), "sequential_keras3.json");
}

#[test]
fn weights_are_found_where_the_first_versions_put_them() {
    check_facts(&read(&fixture("archived_as_at_first.keras")), "sequential_keras3.json");
}

#[test]
fn what_is_not_a_whole_archive_is_told_in_one_sentence() {
    check_problems("text.keras", &["text.keras` is not a complete zip archive"]);
    check_problems("truncated.keras", &["truncated.keras` is not a complete zip archive"]);
    check_problems("no_weights.keras", &["has no `model.weights.h5`"]);
    check_problems("numpy_weights.keras", &["has no `model.weights.h5`"]);
    check_problems("no_json.keras", &["the model's config is not JSON"]);
}

#[test]
fn encrypted_and_oversized_entries_are_refused() {
    check_problems("encrypted.keras", &["encrypted.keras` is encrypted"]);
    check_problems("bomb.keras", &["has more than 1048576 bytes, expected fewer"]);
}

#[test]
fn archived_weights_that_do_not_fit_are_named_with_what_was_expected() {
    check_problems(
        "archived_weight_missing.keras",
        &[
            "layer `head/dense` (`Dense`): the file has no weight `bias` at `layers/sequential/layers/dense/vars/1`",
        ],
    );
    check_problems(
        "archived_weight_of_wrong_shape.keras",
        &["layer `features/conv` (`Conv2D`): `kernel` has shape [3, 3, 1, 2], expected [3, 3, 3, 2]"],
    );
    check_problems(
        "archived_weight_too_many.keras",
        &["layer `softmax` (`Activation`): the file has a weight at `layers/activation/vars/0`"],
    );
    check_problems(
        "archived_layer_too_many.keras",
        &[
            "the file has weights at `layers/sequential/layers/dense_1`, which is not a layer of the model `head`",
        ],
    );
    check_problems(
        "archived_names_swapped.keras",
        &[
            "layer `head/dense` (`Dense`): `layers/sequential/layers/dense/vars` holds the weights of `another`",
        ],
    );
}

#[test]
fn no_change_of_an_archive_makes_the_importer_panic_or_hang() {
    check_changes(&["sequential_keras3.keras", "compressed.keras"], 400);
}
