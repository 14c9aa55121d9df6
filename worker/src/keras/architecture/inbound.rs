//! `inbound_nodes`, `input_layers` and `output_layers`: who is called on what, in both dialects.
//!
//! ```text
//! Keras 2   [[["conv", 0, 0, {}], ["pool", 0, 0, {}]]]                       calls > inputs > one input
//! Keras 3   [{"args": [{"class_name": "__keras_tensor__",
//!                       "config": {"keras_history": ["conv", 0, 0], …}}], "kwargs": {}}]
//! ```

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use crate::keras::architecture::Dialect;
use crate::keras::reader::shown;

/// One output of one call of a layer, as the file names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) layer: String,
    pub(super) node: usize,
    pub(super) output: usize,
}

/// The calls of a layer.
///
/// # Errors
/// A call is written, or made, in a way that is not supported; says which.
pub(super) fn calls(nodes: &Value, dialect: Dialect) -> Result<Vec<Vec<Reference>>, String> {
    let nodes = nodes.as_array().filter(|nodes| !nodes.is_empty());
    let nodes = nodes.ok_or("it is never called, expected `inbound_nodes`")?;
    nodes.iter().map(|node| call(node, dialect)).collect()
}

/// The tensors that a model begins or ends with, each with its name: the one that the model gives it, or its
/// layer's. Names are told apart as Keras 2 does, by a number behind them.
///
/// # Errors
/// They are not a list of tensors; says what they are.
pub(super) fn ends(value: &Value) -> Result<Vec<(String, Reference)>, String> {
    let by_layer = |value: &Value| reference(value).map(|found| (found.layer.clone(), found));
    if let Some(one) = by_layer(value) {
        return Ok(vec![one]);
    }
    let list: Option<Vec<(String, Reference)>> = match value {
        Value::Array(list) if !list.is_empty() => list.iter().map(by_layer).collect(),
        Value::Object(named) if !named.is_empty() => {
            // Keras counts the tensors in the order of their names.
            let sorted: BTreeMap<&String, &Value> = named.iter().collect();
            sorted.into_iter().map(|(name, value)| Some((name.clone(), reference(value)?))).collect()
        }
        Value::Object(_)
        | Value::Array(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_) => None,
    };
    let list =
        list.ok_or_else(|| format!("{} is not supported, expected a list of tensors", shown(value)))?;
    let mut seen = HashMap::new();
    let told_apart = |(name, reference): (String, Reference)| {
        let count = seen.entry(name.clone()).and_modify(|count| *count += 1).or_insert(0);
        (if *count == 0 { name } else { format!("{name}_{count}") }, reference)
    };
    Ok(list.into_iter().map(told_apart).collect())
}

fn call(node: &Value, dialect: Dialect) -> Result<Vec<Reference>, String> {
    let mut inputs = Vec::new();
    match node {
        Value::Array(list) => {
            if let Some(one) = reference(node) {
                check_settings(list.get(3), dialect)?;
                inputs.push(one);
            } else {
                for input in list {
                    let found = reference(input).ok_or_else(|| unsupported(input))?;
                    check_settings(input.get(3), dialect)?;
                    inputs.push(found);
                }
            }
        }
        Value::Object(call) => {
            check_settings(call.get("kwargs"), dialect)?;
            let arguments = call.get("args").and_then(Value::as_array).ok_or_else(|| unsupported(node))?;
            for argument in arguments {
                tensors(argument, &mut inputs)?;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return Err(unsupported(node)),
    }
    if inputs.is_empty() {
        return Err("it is called on nothing, expected at least one input".to_owned());
    }
    Ok(inputs)
}

fn tensors(argument: &Value, inputs: &mut Vec<Reference>) -> Result<(), String> {
    if let Value::Array(list) = argument {
        return list.iter().try_for_each(|argument| tensors(argument, inputs));
    }
    let is_tensor = argument.get("class_name").is_some_and(|class| class == "__keras_tensor__");
    let history = argument.get("config").and_then(|config| config.get("keras_history"));
    let found = history.filter(|_| is_tensor).and_then(reference);
    inputs.push(found.ok_or_else(|| unsupported(argument))?);
    Ok(())
}

/// `["layer", call, output]`, with more behind it perhaps.
pub(super) fn reference(value: &Value) -> Option<Reference> {
    let list = value.as_array().filter(|list| (3..=4).contains(&list.len()))?;
    let number = |index: usize| list[index].as_u64().and_then(|number| usize::try_from(number).ok());
    Some(Reference { layer: list[0].as_str()?.to_owned(), node: number(1)?, output: number(2)? })
}

/// A call may say that it is not training, or that nothing is masked. Anything else changes what it computes:
/// a Keras 2 model goes on dropping values at inference where a call says that it is training. In Keras 3
/// inference overrules the call, and layers that augment images always say so.
fn check_settings(settings: Option<&Value>, dialect: Dialect) -> Result<(), String> {
    let settings = settings.and_then(Value::as_object);
    for (key, value) in settings.into_iter().flat_map(Map::iter) {
        let harmless = match key.as_str() {
            "training" => match dialect {
                Dialect::Keras2 => value.is_null() || *value == Value::Bool(false),
                Dialect::Keras3 => value.is_null() || value.is_boolean(),
            },
            _ => value.is_null(),
        };
        if !harmless {
            return Err(format!("it is called with `{key}` = {}, which is not supported", shown(value)));
        }
    }
    Ok(())
}

fn unsupported(value: &Value) -> String {
    format!("it is called on {}, expected the output of a layer", shown(value))
}
