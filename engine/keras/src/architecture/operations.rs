//! Operations outside of layers, such as `x / 127.5` or `x[..., ::-1]`.
//!
//! ```text
//! Keras 2   "TFOpLambda", "function": "math.truediv", inbound_nodes: [["image", 0, 0, {"y": 127.5}]]
//! Keras 3   "TrueDivide" of the module `keras.src.ops.numpy`,
//!           inbound_nodes: [{"args": [tensor, 127.5], "kwargs": {}}]
//! ```
//!
//! Either becomes a layer of the class `tf.math.truediv` or `ops.TrueDivide`. Its settings are those of the operation, the
//! named arguments of its call, and under [`ARGUMENTS`] the arguments by position. In all of them `{"__input__": 0}` stands
//! for the first input.

use serde_json::{Map, Value, json};

use super::Dialect;
use super::inbound::{CONSTANT, Reference, reference};
use crate::json::shown;

/// The key of the arguments by position.
pub(crate) const ARGUMENTS: &str = "args";

/// The key of an object that stands for an input.
pub(crate) const INPUT: &str = "__input__";

/// The class of a constant that a layer is called on.
pub(crate) const CONSTANT_CLASS: &str = "ops.Constant";

/// Returns the class of an operation, if `layer` is one. `class` is the class in the file.
pub(super) fn class(layer: &Value, class: &str, dialect: Dialect) -> Option<String> {
    let config = layer.get("config")?;
    match (dialect, class) {
        (Dialect::Keras2, "TFOpLambda" | "SlicingOpLambda") => {
            Some(format!("tf.{}", config.get("function")?.as_str()?))
        }
        (Dialect::Keras2, _) | (Dialect::Keras3, "InputLayer") => None,
        (Dialect::Keras3, _) => {
            let is_operation = match layer.get("module").and_then(Value::as_str) {
                Some(module) => module.starts_with("keras") && module.split('.').any(|part| part == "ops"),
                // An .hdf5 file does not say. There every layer has the key `trainable` or at least `dtype`. Only one
                // operation has `dtype`, the cast.
                None => config.as_object().is_some_and(|config| {
                    let typed = config.get("dtype").is_some_and(|kind| !kind.is_null());
                    !config.contains_key("trainable") && (class == "Cast" || !typed)
                }),
            };
            is_operation.then(|| format!("ops.{class}"))
        }
    }
}

/// The calls of an operation, with their arguments.
pub(super) struct Calls {
    pub(super) inputs: Vec<Vec<Reference>>,
    /// The arguments, by name and under [`ARGUMENTS`].
    pub(super) arguments: Map<String, Value>,
}

/// Parses the calls of an operation.
///
/// # Errors
/// The form of a call is not supported; says which.
pub(super) fn calls(nodes: &Value) -> Result<Calls, String> {
    let nodes = nodes.as_array().filter(|nodes| !nodes.is_empty());
    let nodes = nodes.ok_or("it is never called, expected `inbound_nodes`")?;
    let mut all = Calls { inputs: Vec::new(), arguments: Map::new() };
    for node in nodes {
        let (inputs, arguments) = call(node)?;
        if inputs.is_empty() {
            return Err("it is called on nothing, expected at least one input".to_owned());
        }
        if !all.inputs.is_empty() && all.arguments != arguments {
            return Err("it is called with different arguments, expected the same each time".to_owned());
        }
        all.inputs.push(inputs);
        all.arguments = arguments;
    }
    Ok(all)
}

fn call(node: &Value) -> Result<(Vec<Reference>, Map<String, Value>), String> {
    let mut inputs = Vec::new();
    let unsupported = || format!("it is called on {}, which is not supported", shown(node));
    let (arguments, named) = match node {
        Value::Object(call) => {
            let arguments = call.get("args").and_then(Value::as_array).ok_or_else(unsupported)?;
            (arguments.clone(), call.get("kwargs"))
        }
        Value::Array(list) if list.first().is_some_and(Value::is_string) => {
            (vec![first_argument(list)], list.get(3))
        }
        // The first argument is a list of tensors, each with the same named arguments.
        Value::Array(list) => {
            let tensors: Option<Vec<Value>> =
                list.iter().map(|one| Some(first_argument(one.as_array()?))).collect();
            let named = list.first().and_then(|first| first.get(3));
            (vec![Value::Array(tensors.ok_or_else(unsupported)?)], named)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return Err(unsupported()),
    };
    let arguments: Vec<Value> = arguments.iter().map(|value| with_inputs(value, &mut inputs)).collect();
    let mut settings: Map<String, Value> = named
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        // An operation may have a name in the graph, which does not matter.
        .filter(|(key, _)| *key != "name")
        .map(|(key, value)| (key.clone(), with_inputs(value, &mut inputs)))
        .collect();
    settings.insert(ARGUMENTS.to_owned(), Value::Array(arguments));
    Ok((inputs, settings))
}

/// The reference `["layer", call, output]` without what follows it, or the constant of `["_CONSTANT_VALUE", -1, 3.0, …]`.
fn first_argument(list: &[Value]) -> Value {
    match list {
        [name, _, value, ..] if name == CONSTANT => value.clone(),
        // A list within the list, such as the one of `tf.concat([sizes, [192]], 0)`.
        [Value::Array(_), ..] => {
            let one =
                |value: &Value| value.as_array().map_or_else(|| value.clone(), |list| first_argument(list));
            list.iter().map(one).collect()
        }
        [..] => Value::Array(list.iter().take(3).cloned().collect()),
    }
}

/// Replaces the tensors in a value by their numbers, and appends them to `inputs`.
fn with_inputs(value: &Value, inputs: &mut Vec<Reference>) -> Value {
    let history = value
        .get("config")
        .filter(|_| value.get("class_name").is_some_and(|class| class == "__keras_tensor__"))
        .and_then(|config| config.get("keras_history"));
    if let Some(input) = reference(history.unwrap_or(value)) {
        inputs.push(input);
        return json!({ INPUT: inputs.len() - 1 });
    }
    match value.as_array() {
        Some(list) => list.iter().map(|value| with_inputs(value, inputs)).collect(),
        None => value.clone(),
    }
}
