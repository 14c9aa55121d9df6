//! Whatever the importer does not support is a fault that says so.

use serde_json::{Map, Value, json};

use super::catalog;
use crate::architecture::Dialect;
use crate::reader::Reader;
use crate::shapes::Sizes;

/// All faults of a layer called on inputs of these shapes.
fn faults(class: &str, config: &Value, inputs: &[&[usize]]) -> Vec<String> {
    let config: Map<String, Value> = config.as_object().cloned().unwrap_or_default();
    let shape = |sizes: &&[usize]| -> Sizes { sizes.iter().map(|&size| Some(size)).collect() };
    let inputs: Vec<Sizes> = inputs.iter().map(shape).collect();
    let known: Vec<Option<Sizes>> = inputs.iter().cloned().map(Some).collect();
    let mut reader = Reader::new(Dialect::Keras3, &config, &known, None);
    let Some(layer) = catalog::read(class, &mut reader) else {
        return vec!["layers of this class are not supported".to_owned()];
    };
    let mut problems = reader.finish().problems;
    if problems.is_empty() {
        problems.extend(layer.output_sizes(&inputs).err().map(|fault| fault.to_string()));
    }
    problems
}

fn check(class: &str, config: &Value, inputs: &[&[usize]], expected: &str) {
    let found = faults(class, config, inputs);
    assert!(
        found.iter().any(|problem| problem.contains(expected)),
        "{class}: {expected:?} is not in {found:?}"
    );
}

/// The config with some keys changed.
fn with(config: &Value, changes: &Value) -> Value {
    let mut config = config.clone();
    for (key, value) in changes.as_object().into_iter().flatten() {
        config[key] = value.clone();
    }
    config
}

#[test]
fn attention_with_other_settings_is_refused() {
    let sound = json!({"num_heads": 2, "key_dim": 3, "value_dim": null, "attention_axes": [1]});
    let sequence: &[usize] = &[5, 4];
    let three = [sequence, sequence, sequence];
    assert_eq!(faults("MultiHeadAttention", &sound, &three), Vec::<String>::new());
    let refused = |changes: Value, expected| {
        check("MultiHeadAttention", &with(&sound, &changes), &three, expected);
    };
    refused(json!({"num_heads": 0}), "`num_heads` is 0");
    refused(json!({"num_heads": 1_u64 << 40}), "`num_heads` is");
    refused(json!({"key_dim": -1}), "`key_dim` is -1");
    refused(json!({"sliding_window": 3}), "`sliding_window` is 3");
    refused(json!({"attention_axes": [0]}), "`attention_axes` is [0]");
    refused(json!({"attention_axes": [2]}), "`attention_axes` is [2]");
    refused(json!({"attention_axes": [1, 1]}), "`attention_axes` is [1, 1]");
    refused(json!({"output_shape": [0]}), "`output_shape` is [0]");
    refused(json!({"rotary": true}), "the key `rotary`");
    check("MultiHeadAttention", &sound, &[sequence, &[6, 4], sequence], "expected some that fit together");
    check("MultiHeadAttention", &sound, &[sequence, sequence], "called on 2 inputs");
    let grouped = json!({"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 3});
    check("GroupedQueryAttention", &grouped, &three, "expected a divisor of `num_query_heads`");
    check("Attention", &json!({"score_mode": "cosine"}), &[sequence, sequence], "`score_mode` is \"cosine\"");
    check("Attention", &json!({}), &[sequence, &[5, 3]], "expected some that fit together");
    check("Embedding", &json!({"input_dim": 3}), &[&[5]], "it looks up what only an image tells");
}

#[test]
fn einsums_that_are_not_understood_are_refused() {
    let sound = json!({"equation": "abc,cd->abd", "output_shape": [null, 5], "bias_axes": "d"});
    assert_eq!(faults("EinsumDense", &sound, &[&[3, 4]]), Vec::<String>::new());
    let refused =
        |changes: Value, expected| check("EinsumDense", &with(&sound, &changes), &[&[3, 4]], expected);
    refused(json!({"equation": "abc,cd->"}), "`output_shape` is");
    refused(json!({"equation": "abc,cd->dab"}), "`output_shape` is");
    refused(json!({"equation": "abc,ad->abd"}), "does not keep the batch");
    refused(json!({"equation": "abcde,cd->abd"}), "an operand has 3 axes");
    refused(json!({"equation": 3}), "has no `equation`");
    refused(json!({"bias_axes": "x"}), "`bias_axes` is \"x\"");
    refused(json!({"bias_axes": ""}), "`bias_axes` is \"\"");
    refused(json!({"output_shape": [null]}), "`output_shape` is");
    refused(json!({"output_shape": [4, 5]}), "`output_shape` is");
    refused(json!({"output_shape": [null, 0]}), "`output_shape` is");
    let int8 =
        json!({"class_name": "QuantizedDTypePolicy", "config": {"mode": "int8", "source_name": "float32"}});
    refused(
        json!({"dtype": int8}),
        "it is quantized (\"int8\"), which is not supported: save the model as it was",
    );
    refused(json!({"equation": "ab...,bd->ad...", "output_shape": [5]}), "has dots behind its letters");
}

#[test]
fn what_wrappers_hold_has_to_be_understood_too() {
    let dense = json!({"layer": {"class_name": "Dense", "config": {"units": 3, "sharpness": 1}}});
    check("TimeDistributed", &dense, &[&[3, 4]], "`Dense`: its config has the key `sharpness`");
    let own = json!({"layer": {"class_name": "Mine", "registered_name": "pack>Mine", "config": {}}});
    check("TimeDistributed", &own, &[&[3, 4]], "it wraps a `pack>Mine`, which is not supported there");
    let model = json!({"layer": {"class_name": "Sequential", "config": {"layers": []}}});
    check("TimeDistributed", &model, &[&[3, 4]], "it wraps a `Sequential`");
    check("SpectralNormalization", &json!({"layer": 5}), &[&[3, 4]], "`layer` is 5");
    check("SpectralNormalization", &json!({}), &[&[3, 4]], "has no `layer`");
    let dense = json!({"layer": {"class_name": "Dense", "config": {"units": 3}}});
    check("TimeDistributed", &dense, &[&[4]], "expected [sequence, …]");
    check("Bidirectional", &dense, &[&[3, 4]], "not supported");
}

#[test]
fn recurrent_layers_with_states_of_their_own_are_refused() {
    let sound = json!({"units": 2, "activation": "tanh", "recurrent_activation": "sigmoid"});
    for class in ["SimpleRNN", "GRU", "LSTM"] {
        let mut sound = sound.clone();
        if class == "SimpleRNN" {
            sound.as_object_mut().unwrap().remove("recurrent_activation");
        }
        assert_eq!(faults(class, &sound, &[&[5, 4]]), Vec::<String>::new());
        let refused = |changes: Value, expected| check(class, &with(&sound, &changes), &[&[5, 4]], expected);
        refused(json!({"return_state": true}), "`return_state` is true");
        refused(json!({"stateful": true}), "`stateful` is true");
        refused(json!({"time_major": true}), "`time_major` is true");
        refused(json!({"units": 0}), "`units` is 0");
        refused(json!({"activation": null}), "has no `activation`");
        refused(json!({"sharpness": 1}), "the key `sharpness`");
        check(class, &sound, &[&[4]], "expected [sequence, channels]");
        check(class, &sound, &[&[5, 4], &[2]], "called on 2 inputs");
    }
    check("GRU", &with(&sound, &json!({"recurrent_activation": null})), &[&[5, 4]], "`recurrent_activation`");
}

#[test]
fn operations_with_other_arguments_are_refused() {
    let input = json!({"__input__": 0});
    let refused = |class: &str, settings: Value, expected: &str| {
        let config = with(&json!({"args": [input]}), &settings);
        check(class, &config, &[&[6, 8, 4]], expected);
    };
    refused("ops.Softmax", json!({"args": [input, 1]}), "it is called with 1");
    refused("tf.nn.relu", json!({"args": [[1.0]]}), "its first argument is [1.0]");
    refused("tf.concat", json!({"args": [[input, [1.0]]], "axis": -1}), "its first argument is");
    refused("tf.cast", json!({"dtype": "int32"}), "`dtype` is \"int32\"");
    refused("ops.ExpandDims", json!({"axis": 0}), "`axis` is 0");
    refused("ops.Squeeze", json!({"axis": 1}), "expected 1 on axis 1");
    refused("ops.Split", json!({"indices_or_sections": 3, "axis": 2}), "splits an axis of 8 by 3");
    refused("ops.Split", json!({"indices_or_sections": [3, 2], "axis": 2}), "splits an axis of 8 by [3,2]");
    refused("tf.tile", json!({"multiples": [2, 1, 1, 1]}), "expected 1 for the batch");
    refused("tf.tile", json!({"multiples": [1, 1_u64 << 30, 1, 1]}), "1048576 at most");
    refused("tf.repeat", json!({"repeats": 1_u64 << 31, "axis": 1}), "1048576 at most");
    refused("ops.Take", json!({"args": [input, [9]], "axis": 2}), "of an axis of 8");
    refused("ops.Pad", json!({"pad_width": [[0, 0], [1_u64 << 30, 0], [0, 0], [0, 0]]}), "too large");
    refused("ops.Pad", json!({"pad_width": [[1, 0], [0, 0], [0, 0], [0, 0]]}), "nothing for the batch");
    refused(
        "ops.Pad",
        json!({"pad_width": [[0, 0], [6, 0], [0, 0], [0, 0]], "mode": "reflect"}),
        "mirrors more",
    );
    refused("ops.Flip", json!({"axis": null}), "turns the batch around");
    refused("ops.Reshape", json!({"newshape": [2, 96]}), "which keeps the batch");
    refused("ops.Reshape", json!({"newshape": [-1, -1, 4]}), "which keeps the batch");
    refused(
        "tf.clip_by_value",
        json!({"clip_value_min": 2, "clip_value_max": 1}),
        "expected the smaller first",
    );
    refused("ops.Matmul", json!({"args": [input, [[1.0]]]}), "which do not fit");
    refused("ops.Einsum", json!({"subscripts": "abcd->bcd"}), "does not keep the batch");
    refused(
        "tf.image.extract_patches",
        json!({"sizes": [1, 1_u64 << 30, 1_u64 << 30, 1], "padding": "SAME"}),
        "too large",
    );
    refused("tf.nn.space_to_depth", json!({"block_size": 4}), "blocks of 4 do not fill");
    refused("ops.Unheard", json!({}), "not supported");
    refused("tf.math.l2_normalize", json!({}), "it normalizes the batch too, expected an `axis`");
    refused("tf.math.l2_normalize", json!({"axis": [0, 1]}), "`axis` is 0");
    refused("ops.Normalize", json!({"order": 1}), "`order` is 1, expected 2");
    refused("tf.image.resize", json!({"size": [4]}), "`size` is [4], expected [height, width]");
    refused(
        "tf.image.resize",
        json!({"size": [4, 4], "preserve_aspect_ratio": true}),
        "`preserve_aspect_ratio`",
    );
    refused("tf.image.resize", json!({"size": [4, 4], "method": "cubic"}), "`method` is \"cubic\"");
    refused("tf.image.grayscale_to_rgb", json!({}), "expected 1 channel");
    refused("tf.image.rgb_to_grayscale", json!({}), "which do not fit");
}

#[test]
fn python_code_is_refused_with_the_way_out_and_functions_of_keras_are_read_by_name() {
    let check = |config: Value, expected| check("Lambda", &config, &[&[6, 8, 3]], expected);
    let code = json!({"class_name": "__lambda__", "config": {"code": "4wEAAAA"}});
    check(json!({"function": code}), "never run here: replace it by `keras.layers.Rescaling(");
    check(json!({"function": ["4wEAAAA", null, null], "module": "__main__"}), "or export a SavedModel");
    check(json!({}), "never run here");
    let named = |name: &str| json!({"module": "builtins", "class_name": "function", "config": name});
    // Keras itself does not know which of its applications it comes from.
    check(json!({"function": named("preprocess_input")}), "which of Keras's applications is not said");
    check(json!({"function": named("my_own")}), "`my_own`");
    let mobilenet = "keras.src.applications.mobilenet_v2";
    let with_module = |arguments: Value| {
        json!({"function": "preprocess_input", "module": mobilenet,
        "function_type": "function", "arguments": arguments})
    };
    check(with_module(json!({"data_format": "channels_first"})), "`arguments` is {\"data_format\"");
    assert!(faults("Lambda", &with_module(json!({})), &[&[6, 8, 3]]).is_empty());
    assert!(faults("Lambda", &json!({"function": named("relu")}), &[&[6, 8, 3]]).is_empty());
}
