use serde_json::{Value, json};

use super::{by_class, read};
use crate::architecture::Dialect;
use crate::reader::{Reader, channels_last};
use crate::shapes::Sizes;

/// The faults of a layer, or else of its output shape.
fn faults(dialect: Dialect, class: &str, settings: &Value, inputs: &[Sizes]) -> Vec<String> {
    let settings = settings.as_object().unwrap();
    let shapes: Vec<Option<Sizes>> = inputs.iter().cloned().map(Some).collect();
    let shapes = channels_last(settings, &shapes);
    let mut reader = Reader::new(dialect, settings, &shapes, None);
    let layer = read(class, &mut reader).unwrap();
    let problems = reader.finish().problems;
    if problems.is_empty() {
        layer.output_sizes(inputs).err().into_iter().map(|fault| fault.to_string()).collect()
    } else {
        problems
    }
}

fn check(class: &str, settings: Value, input: &[usize], expected: &str) {
    let input: Sizes = input.iter().copied().map(Some).collect();
    for dialect in [Dialect::Keras2, Dialect::Keras3] {
        let found = faults(dialect, class, &settings, std::slice::from_ref(&input));
        assert!(found.iter().any(|fault| fault.contains(expected)), "{class} {settings}: {found:?}");
    }
}

#[test]
fn settings_that_are_not_understood_are_faults() {
    check("Softmax", json!({ "axis": [1, 1] }), &[4, 3], "`axis` is [1, 1]");
    check("Softmax", json!({ "axis": [0, 1] }), &[4, 3], "`axis` is 0");
    check("Softmax", json!({ "axis": 0 }), &[4, 3], "`axis` is 0");
    check("Softmax", json!({ "axis": [] }), &[4, 3], "`axis` is []");
    check("ReLU", json!({ "max_value": "six" }), &[4], "`max_value` is \"six\"");
    check("Activation", json!({ "activation": "threshold" }), &[4], "\"threshold\" is not supported");
    check("UpSampling2D", json!({ "interpolation": "cubic" }), &[4, 4, 3], "`interpolation` is \"cubic\"");
    check("Resizing", json!({ "height": 2, "width": 2, "fill_mode": "edge" }), &[4, 4, 3], "`fill_mode`");
    let both = json!({ "height": 2, "width": 2, "crop_to_aspect_ratio": true, "pad_to_aspect_ratio": true });
    check("Resizing", both, &[4, 4, 3], "expected one of them");
    check("CenterCrop", json!({ "height": 2 }), &[4, 4, 3], "no `width`");
    check("Cropping1D", json!({ "cropping": [1, 2, 3] }), &[9, 3], "`cropping` is [1,2,3]");
    check("Cropping1D", json!({ "cropping": [-1, 2] }), &[9, 3], "`cropping` is [-1,2]");
    check("ZeroPadding2D", json!({ "padding": [[1, 2], [1]] }), &[9, 9, 3], "`padding` is");
    check("MaxPooling1D", json!({ "pool_size": [2, 2] }), &[9, 3], "`pool_size` is [2,2]");
    check("GroupNormalization", json!({ "groups": 4 }), &[9, 9, 6], "`groups` is 4");
    check("GroupNormalization", json!({ "groups": 0 }), &[9, 9, 6], "`groups` is 0");
    check("GroupNormalization", json!({ "groups": -2 }), &[9, 9, 6], "`groups` is -2");
    check(
        "LayerNormalization",
        json!({ "axis": [1, -3] }),
        &[9, 9, 6],
        "expected axes of its input, each once",
    );
    check("UnitNormalization", json!({ "axis": 4 }), &[9, 9, 6], "`axis` is 4");
    check("Normalization", json!({ "axis": [-1], "mean": [1, 2], "variance": [1, 2] }), &[4, 3], "shape [2]");
    check("Normalization", json!({ "mean": "high", "variance": 1 }), &[4, 3], "`mean` is \"high\"");
    check("Dot", json!({ "axes": [1, 2, 3] }), &[4, 3], "`axes` of one or two");
    check("AutoContrast", json!({ "value_range": [1, 1] }), &[4, 4, 3], "`value_range` is [1.0, 1.0]");
    check(
        "LocallyConnected2D",
        json!({ "filters": 1, "kernel_size": 3, "implementation": 4 }),
        &[4, 4, 3],
        "is 4",
    );
    let channels_first = json!({ "filters": 1, "kernel_size": 3, "data_format": "channels_first" });
    check("LocallyConnected2D", channels_first, &[3, 4, 4], "\"channels_first\"");
    check("RepeatVector", json!({ "n": 2 }), &[4, 3], "expected [channels]");
    check("Flatten", json!({ "order": "F" }), &[4, 3], "the key `order`");
}

#[test]
fn sizes_that_nobody_can_compute_are_faults() {
    let huge = 1_u64 << 31;
    check("ZeroPadding2D", json!({ "padding": huge }), &[4, 4, 3], "too large to be computed");
    check("ZeroPadding1D", json!({ "padding": [huge, huge] }), &[4, 3], "too large to be computed");
    check("ZeroPadding1D", json!({ "padding": [u64::MAX, 0] }), &[4, 3], "`padding` is");
    check("UpSampling1D", json!({ "size": huge }), &[4, 3], "too large to be computed");
    check("UpSampling2D", json!({ "size": [huge, huge] }), &[4, 4, 3], "too large to be computed");
    check("RepeatVector", json!({ "n": huge }), &[4], "too large to be computed");
    check("RepeatVector", json!({ "n": -1 }), &[4], "`n` is -1");
    check("Resizing", json!({ "height": huge, "width": huge }), &[4, 4, 3], "too large to be computed");
    check("CenterCrop", json!({ "height": huge, "width": 1 }), &[4, 4, 3], "too large to be computed");
    check("AdaptiveMaxPooling2D", json!({ "output_size": [1, huge] }), &[4, 4, 3], "expected at most 65536");
    check("AdaptiveMaxPooling2D", json!({ "output_size": 0 }), &[4, 4, 3], "`output_size` is 0");
    check("MaxPooling2D", json!({ "pool_size": huge }), &[4, 4, 3], "does not fit");
    check("Cropping2D", json!({ "cropping": huge }), &[4, 4, 3], "expected less");
    let local = json!({ "filters": huge, "kernel_size": 3 });
    check("LocallyConnected2D", local, &[4, 4, 3], "which is too many");
    let local = json!({ "filters": 1, "kernel_size": huge, "padding": "same", "implementation": 3 });
    check("LocallyConnected2D", local, &[4, 4, 3], "does not fit");
    let local = json!({ "filters": 1, "kernel_size": 1, "implementation": 3 });
    check("LocallyConnected1D", local, &[1 << 31, 1], "does not fit");
}

#[test]
fn functions_of_keras_3_are_not_known_to_keras_2() {
    let settings = json!({ "activation": "celu" });
    let input = vec![Some(4)];
    let found = |dialect| faults(dialect, "Activation", &settings, std::slice::from_ref(&input));
    assert!(found(Dialect::Keras2)[0].contains("\"celu\" is not supported"));
    assert!(found(Dialect::Keras3).is_empty());
}

#[test]
fn a_gate_halves_an_even_number_of_channels() {
    let settings = json!({ "units": 3, "activation": "glu" });
    let found = faults(Dialect::Keras3, "Dense", &settings, &[vec![Some(4)]]);
    assert!(found[0].contains("expected an even size on axis -1"), "{found:?}");
}

#[test]
fn a_crop_at_random_of_keras_3_has_nothing_to_cut() {
    let settings = json!({ "height": 4, "width": 4 });
    let found =
        |size| faults(Dialect::Keras3, "RandomCrop", &settings, &[vec![Some(size), Some(4), Some(3)]]);
    assert!(found(4).is_empty());
    assert!(found(5)[0].contains("versions of Keras 3 differ"));
}

#[test]
fn products_of_unequal_axes_are_faults() {
    let inputs = [vec![Some(4), Some(3)], vec![Some(4), Some(2)]];
    let check = |axes: Value, expected: &str| {
        let found = faults(Dialect::Keras3, "Dot", &json!({ "axes": axes }), &inputs);
        assert!(found.iter().any(|fault| fault.contains(expected)), "{axes}: {found:?}");
    };
    check(json!(-1), "expected equal sizes");
    check(json!([0, 1]), "`axis` is 0");
    check(json!(i64::MIN), "`axis` is");
    check(json!(i64::MAX), "`axis` is");
}

#[test]
fn layers_without_inputs_are_read_without_panic() {
    let settings = json!({}).as_object().cloned().unwrap();
    for class in
        ["RepeatVector", "RandomCrop", "Dot", "LocallyConnected1D", "GroupNormalization", "Normalization"]
    {
        let mut reader = Reader::new(Dialect::Keras3, &settings, &[], None);
        assert!(by_class(class, &mut reader).is_some(), "{class}");
    }
}
