//! Invalid, damaged and malicious SavedModels.

use std::fs;
use std::path::Path;

use common::package::Package;
use serde_json::json;
use tempfile::TempDir;

use super::{load, package, problems_of};

/// Asserts that a folder is refused with these problems, each given by a part of its text.
fn check(name: &str, expected: &[&str]) {
    check_package(name, &package(name, "savedmodel", None, |_| ()).1, expected);
}

fn check_package(name: &str, package: &Package, expected: &[&str]) {
    let found = problems_of(package);
    assert_eq!(found.len(), expected.len(), "{name}: {found:#?}");
    for part in expected {
        assert!(found.iter().any(|problem| problem.contains(part)), "{name}: {part:?} is not in {found:#?}");
    }
}

#[test]
fn operations_that_a_model_must_not_have_are_named() {
    check("python", &["(`EagerPyFunc`) runs Python"]);
    check("writes", &["(`WriteFile`) writes files"]);
    check("writes_within", &["(`WriteFile`) writes files"]);
    check("prints", &["(`PrintV2 to a file`) writes files"]);
    check("unknown_operation", &["(`MulOfAnotherLibrary`) is not known to TensorFlow 2."]);
    assert!(!Path::new("written").exists() && !Path::new("printed").exists());
}

#[test]
fn every_disagreement_of_config_and_signature_is_told_at_once() {
    check(
        "wrong_ends",
        &[
            "input `image` has type uint8, expected float32",
            "input `image` takes batches of 1, expected any number of images",
            "`image_preproc_config.input_shape` is [8, 8, 3], but the model's input `image` has shape [8, 9, 3]",
            "output `output_0` has type int64, expected float32",
            "output `output_0` has shape [1], expected [batch, 3]",
        ],
    );
    check("two_inputs", &["the model has 2 inputs (`image`, `mask`), expected one image"]);
    check("flat_input", &["input `values` has shape [batch, 192], expected [batch, 8, 8, 3]"]);
    let one_label = package("keras2_save", "savedmodel", None, |config| {
        config["output_config"]["output_classes"] = json!(["a"]);
    });
    check_package(
        "one label",
        &one_label.1,
        &["the model has 3 outputs, but `output_config.output_classes` has 1"],
    );
}

#[test]
fn a_graph_for_something_else_is_refused_with_what_there_is() {
    check("other_tags", &["has graphs with the tags `train`, expected one with `serve`"]);
    check(
        "two_signatures",
        &["has the signatures `first`, `second`, expected `serving_default` or only one"],
    );
}

#[test]
fn scores_of_another_number_or_none_are_found_by_the_warm_up() {
    check("late_shape", &["the model gave 192 scores for 1 images, expected 3"]);
}

/// Whether or not a score shows it.
#[test]
fn variables_that_are_not_finite_are_named() {
    check("not_finite", &["have values that are not finite, expected numbers"]);
}

/// A valid folder, changed.
fn changed(change: impl FnOnce(&Path)) -> (TempDir, Package) {
    let made = package("keras3_export", "savedmodel", None, |_| ());
    change(&made.1.model.path);
    made
}

#[test]
fn a_damaged_folder_is_refused_with_the_reason() {
    let remove = |file: &'static str| move |folder: &Path| fs::remove_file(folder.join(file)).unwrap();
    let cut = |file: &'static str| {
        move |folder: &Path| {
            let bytes = fs::read(folder.join(file)).unwrap();
            fs::write(folder.join(file), &bytes[..bytes.len() / 2]).unwrap();
        }
    };
    let write =
        |bytes: &'static [u8]| move |folder: &Path| fs::write(folder.join("saved_model.pb"), bytes).unwrap();
    type Damage = Box<dyn FnOnce(&Path)>;
    let cases: [(Damage, &str); 9] = [
        (Box::new(remove("saved_model.pb")), "has no file `saved_model.pb`"),
        (Box::new(cut("saved_model.pb")), "is damaged, cut off or no SavedModel"),
        (Box::new(write(b"this is no model")), "is damaged, cut off or no SavedModel"),
        (Box::new(write(b"")), "has graphs with the tags none, expected one with `serve`"),
        (Box::new(remove("variables/variables.index")), "no file `variables/variables.index`"),
        (Box::new(remove("variables/variables.data-00000-of-00001")), "TensorFlow refuses the SavedModel"),
        (Box::new(cut("variables/variables.index")), "TensorFlow refuses the SavedModel"),
        (Box::new(cut("variables/variables.data-00000-of-00001")), "TensorFlow refuses the SavedModel"),
        (
            Box::new(|folder: &Path| fs::remove_dir_all(folder.join("variables")).unwrap()),
            "no file `variables/",
        ),
    ];
    for (change, says) in cases {
        let (_folder, package) = changed(change);
        check_package(says, &package, &[says]);
    }
}

/// A field of protobuf: a message, or a text.
fn field(number: u8, message: &[u8]) -> Vec<u8> {
    let (mut length, mut bytes) = (message.len(), vec![number << 3 | 2]);
    while length >= 0x80 {
        bytes.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    [&bytes, message].concat()
}

/// A SavedModel of this graph, whose operation `deep` is input and output.
fn model_of(graph: &[u8]) -> Vec<u8> {
    let any = field(2, &[8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
    let shape = [8_u8, 8, 3].map(|size| field(2, &[8, size])).concat();
    let info = |shape: &[u8]| [field(1, b"deep:0"), vec![16, 1], field(3, shape)].concat();
    let input = [field(1, b"x"), field(2, &info(&[any.clone(), shape].concat()))].concat();
    let output = [field(1, b"y"), field(2, &info(&[any, field(2, &[8, 3])].concat()))].concat();
    let signature = [field(1, &input), field(2, &output)].concat();
    let signature = [field(1, b"serving_default"), field(2, &signature)].concat();
    let meta = [field(1, &field(4, b"serve")), field(2, graph), field(5, &signature)].concat();
    [vec![8, 1], field(2, &meta)].concat()
}

/// As TensorFlow reads it: of two equal names the last counts, and a message in two pieces is merged.
#[test]
fn what_is_given_twice_does_not_hide_an_operation() {
    let write = [field(1, b"w"), field(2, b"WriteFile")].concat();
    let attribute = |pieces: &[Vec<u8>]| field(5, &[field(1, b"f"), pieces.concat()].concat());
    let calls = |pieces: &[Vec<u8>]| {
        field(1, &[field(1, b"deep"), field(2, b"PartitionedCall"), attribute(pieces)].concat())
    };
    let function = |signature: &[Vec<u8>]| field(1, &[signature.concat(), field(3, &write)].concat());
    let named = |name: &[u8]| field(2, &field(10, &field(1, name)));
    let is_evil = field(1, &field(1, b"evil"));
    let plain = [calls(&[named(b"evil")]), field(2, &function(std::slice::from_ref(&is_evil)))];
    // The attribute's value in two pieces, of which the last is empty.
    let value =
        [calls(&[named(b"evil"), field(2, b"")]), field(2, &function(std::slice::from_ref(&is_evil)))];
    // The function's signature likewise, and its name twice.
    let signature = [calls(&[named(b"evil")]), field(2, &function(&[is_evil.clone(), field(1, b"")]))];
    let name = [
        calls(&[named(b"evil")]),
        field(2, &function(&[field(1, b""), field(1, &[field(1, b"good"), field(1, b"evil")].concat())])),
    ];
    // The library in two pieces, with a second function of the name.
    let harmless = field(1, &is_evil);
    let library = [calls(&[named(b"evil")]), field(2, &function(&[is_evil])), field(2, &harmless)];
    // The kind of the operation itself.
    let kind = field(1, &[field(1, b"deep"), field(2, b"NoOp"), field(2, b"WriteFile")].concat());
    for graph in [plain.concat(), value.concat(), signature.concat(), name.concat(), library.concat(), kind] {
        let model = model_of(&graph);
        let (_folder, package) = changed(|folder| fs::write(folder.join("saved_model.pb"), model).unwrap());
        check_package("twice", &package, &["(`WriteFile`) writes files"]);
    }
    // The graph itself in two pieces.
    let [call, library] = plain;
    let mut model = model_of(&call);
    let (_folder, package) = changed(|folder| {
        // Field 2 of the file is the graph with its tags, signatures and all.
        let meta = field(2, &field(2, &library));
        let inner = model.split_off(2);
        let merged = [&inner[header(&inner)..], &meta[header(&meta)..]].concat();
        fs::write(folder.join("saved_model.pb"), [model, field(2, &merged)].concat()).unwrap();
    });
    check_package("twice", &package, &["(`WriteFile`) writes files"]);
}

/// Returns how many bytes come before the content of a field.
fn header(field: &[u8]) -> usize {
    1 + field[1..].iter().position(|byte| *byte < 0x80).unwrap() + 1
}

/// A function in a function in a function, and so on, in an attribute of the one operation.
#[test]
fn messages_within_messages_overflow_nothing() {
    // attr_value.func.attr["f"].func.attr["f"]…
    let mut value = Vec::new();
    for _ in 0..2000 {
        let entry = [field(1, b"f"), field(2, &value)].concat();
        value = field(10, &field(2, &entry));
    }
    let node = [field(1, b"deep"), field(2, b"NoOp"), field(5, &[field(1, b"f"), field(2, &value)].concat())];
    let graph = field(1, &node.concat());
    let model = model_of(&graph);
    let (_folder, package) = changed(|folder| fs::write(folder.join("saved_model.pb"), model).unwrap());
    check_package("deep", &package, &["the graph in `saved_model.pb` is damaged or too large"]);
}

#[test]
fn no_change_of_a_folder_makes_the_worker_panic_or_hang() {
    let (folder, sound) = package("keras2_save", "savedmodel", None, |_| ());
    let path = sound.model.path.join("saved_model.pb");
    let bytes = fs::read(&path).unwrap();
    // A linear congruential generator: the same changes every time.
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let (mut refused, rounds) = (0, 60);
    for _ in 0..rounds {
        let mut changed = bytes.clone();
        for _ in 0..=random(4) {
            let position = random(changed.len());
            changed[position] = random(256) as u8;
        }
        fs::write(&path, changed).unwrap();
        refused += usize::from(load(&sound).is_err());
    }
    assert!(refused > rounds / 4, "{refused} of {rounds} were refused");
    fs::write(&path, &bytes).unwrap();
    assert!(load(&sound).is_ok());
    drop(folder);
}
