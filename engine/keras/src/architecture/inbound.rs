//! `inbound_nodes`, `input_layers` and `output_layers`: the inputs of each call, in both dialects.
//!
//! ```text
//! Keras 2   [[["conv", 0, 0, {}], ["pool", 0, 0, {}]]]                       calls > inputs > one input
//! Keras 3   [{"args": [{"class_name": "__keras_tensor__",
//!                       "config": {"keras_history": ["conv", 0, 0], …}}], "kwargs": {}}]
//! ```
//!
//! A layer that takes several tensors by name gets them in the order of [`tensor_names`], whether a call gives them by
//! position or by name.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use crate::architecture::Dialect;
use crate::json::shown;

/// What Keras 2 writes for a constant in place of a layer's name.
pub(super) const CONSTANT: &str = "_CONSTANT_VALUE";

/// One output of one call of a layer, as the file names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) layer: String,
    pub(super) node: usize,
    pub(super) output: usize,
}

/// An input of a call.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Given {
    /// The output of a layer.
    Tensor(Reference),
    /// A constant, as in the file.
    Constant(Value),
}

/// The names of the inputs of a class, where these have different meanings.
fn tensor_names(class: &str) -> Option<&'static [&'static str]> {
    match class {
        "MultiHeadAttention" | "GroupedQueryAttention" | "GroupQueryAttention" => {
            Some(&["query", "value", "key"])
        }
        _ => None,
    }
}

/// Returns whether an input of the class may be a constant, since the class combines its inputs element by element.
fn takes_constants(class: &str) -> bool {
    ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"].contains(&class)
}

/// Parses the calls of a layer of this class.
///
/// # Errors
/// The form of a call is not supported; says which.
pub(super) fn calls(nodes: &Value, class: &str, dialect: Dialect) -> Result<Vec<Vec<Given>>, String> {
    let nodes = nodes.as_array().filter(|nodes| !nodes.is_empty());
    let nodes = nodes.ok_or("it is never called, expected `inbound_nodes`")?;
    nodes.iter().map(|node| Call { class, dialect }.read(node)).collect()
}

/// Parses the inputs or outputs of a model, each with its name: the one that the model gives it, or its layer's. Equal names
/// get a number as in Keras 2.
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
            // Keras orders the tensors by name.
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

/// A call of a layer of this class.
#[derive(Clone, Copy)]
struct Call<'a> {
    class: &'a str,
    dialect: Dialect,
}

impl Call<'_> {
    fn read(self, node: &Value) -> Result<Vec<Given>, String> {
        let mut inputs = Vec::new();
        let settings = match node {
            Value::Array(list) => {
                if let Some(one) = reference(node) {
                    inputs.push(Given::Tensor(one));
                    list.get(3)
                } else {
                    for input in list {
                        inputs.push(self.input(input)?);
                        self.check_settings(input.get(3))?;
                    }
                    list.first().and_then(|first| first.get(3))
                }
            }
            Value::Object(call) => {
                let arguments =
                    call.get("args").and_then(Value::as_array).ok_or_else(|| unsupported(node))?;
                for argument in arguments {
                    self.inputs(argument, &mut inputs)?;
                }
                call.get("kwargs")
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                return Err(unsupported(node));
            }
        };
        self.check_settings(settings)?;
        let inputs = self.with_named(inputs, settings)?;
        if inputs.is_empty() {
            return Err("it is called on nothing, expected at least one input".to_owned());
        }
        Ok(inputs)
    }

    fn inputs(self, argument: &Value, inputs: &mut Vec<Given>) -> Result<(), String> {
        if let Value::Array(list) = argument {
            return list.iter().try_for_each(|argument| self.inputs(argument, inputs));
        }
        inputs.push(self.input(argument)?);
        Ok(())
    }

    /// One input, in either dialect.
    fn input(self, value: &Value) -> Result<Given, String> {
        if let Some(found) = tensor(value) {
            return Ok(Given::Tensor(found));
        }
        let constant = match value.as_array().map(Vec::as_slice) {
            Some([mark, _, constant, ..]) if mark == CONSTANT => Some(constant),
            Some(_) => None,
            None => value
                .get("class_name")
                .is_some_and(|class| class == "__tensor__" || class == "__numpy__")
                .then_some(value),
        };
        match constant {
            Some(constant) if takes_constants(self.class) => Ok(Given::Constant(constant.clone())),
            Some(_) | None => Err(unsupported(value)),
        }
    }

    /// Appends the inputs that are given by name to those given by position.
    fn with_named(self, inputs: Vec<Given>, settings: Option<&Value>) -> Result<Vec<Given>, String> {
        let Some(names) = tensor_names(self.class) else { return Ok(inputs) };
        if inputs.len() > names.len() {
            return Err(format!("it is called on {} inputs, expected {} at most", inputs.len(), names.len()));
        }
        let mut given: Vec<Option<Given>> = inputs.into_iter().map(Some).collect();
        given.resize(names.len(), None);
        for (slot, name) in given.iter_mut().zip(names) {
            let Some(found) = settings.and_then(|settings| tensor(settings.get(name)?)) else { continue };
            if slot.replace(Given::Tensor(found)).is_some() {
                return Err(format!("it is called with two tensors as `{name}`, expected one"));
            }
        }
        let mut given = given.into_iter();
        let mut next = || given.next().flatten();
        let (query, value, key) = (next(), next(), next());
        // The key defaults to the value.
        let key = key.or_else(|| value.clone());
        match (query, value, key) {
            (Some(query), Some(value), Some(key)) => Ok(vec![query, value, key]),
            (_, _, _) => Err("it is called without `query` or `value`, expected both".to_owned()),
        }
    }

    /// Checks the other arguments of a call. It may have `training=False`, or no mask. Any other changes what the call
    /// computes: with `training=True` a Keras 2 model applies dropout at inference. In Keras 3 inference overrides it, and
    /// layers that augment images always have it.
    fn check_settings(self, settings: Option<&Value>) -> Result<(), String> {
        let settings = settings.and_then(Value::as_object);
        let names = tensor_names(self.class).unwrap_or_default();
        for (key, value) in settings.into_iter().flat_map(Map::iter) {
            let harmless = match key.as_str() {
                "training" => match self.dialect {
                    Dialect::Keras2 => value.is_null() || *value == Value::Bool(false),
                    Dialect::Keras3 => value.is_null() || value.is_boolean(),
                },
                "use_causal_mask" | "return_attention_scores" => {
                    value.is_null() || *value == Value::Bool(false)
                }
                name if names.contains(&name) => value.is_null() || tensor(value).is_some(),
                _ => value.is_null(),
            };
            if !harmless {
                return Err(format!("it is called with `{key}` = {}, which is not supported", shown(value)));
            }
        }
        Ok(())
    }
}

/// Parses an output of a layer, in either dialect.
fn tensor(value: &Value) -> Option<Reference> {
    if value.is_array() {
        return reference(value);
    }
    let is_tensor = value.get("class_name").is_some_and(|class| class == "__keras_tensor__");
    value
        .get("config")
        .and_then(|config| config.get("keras_history"))
        .filter(|_| is_tensor)
        .and_then(reference)
}

/// Parses `["layer", call, output]`, which may have more elements.
pub(super) fn reference(value: &Value) -> Option<Reference> {
    let list = value.as_array().filter(|list| (3..=4).contains(&list.len()))?;
    let number = |index: usize| list[index].as_u64().and_then(|number| usize::try_from(number).ok());
    Some(Reference { layer: list[0].as_str()?.to_owned(), node: number(1)?, output: number(2)? })
}

fn unsupported(value: &Value) -> String {
    format!("it is called on {}, expected the output of a layer", shown(value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tensor(layer: &str) -> Value {
        json!({"class_name": "__keras_tensor__", "config": {"keras_history": [layer, 0, 0]}})
    }

    fn names(nodes: &Value, class: &str, dialect: Dialect) -> Result<Vec<String>, String> {
        let name = |given: &Given| match given {
            Given::Tensor(reference) => reference.layer.clone(),
            Given::Constant(value) => value.to_string(),
        };
        Ok(calls(nodes, class, dialect)?[0].iter().map(name).collect())
    }

    #[test]
    fn tensors_come_in_the_order_of_their_names_however_they_are_given() {
        let check = |nodes: Value, dialect, expected: [&str; 3]| {
            assert_eq!(names(&nodes, "MultiHeadAttention", dialect).unwrap(), expected, "{nodes}");
        };
        let (q, v, k) = (tensor("q"), tensor("v"), tensor("k"));
        check(json!([{"args": [q, v], "kwargs": {}}]), Dialect::Keras3, ["q", "v", "v"]);
        check(json!([{"args": [q, v, k], "kwargs": {"key_mask": null}}]), Dialect::Keras3, ["q", "v", "k"]);
        check(json!([{"args": [q], "kwargs": {"key": k, "value": v}}]), Dialect::Keras3, ["q", "v", "k"]);
        check(json!([{"args": [], "kwargs": {"value": v, "query": q}}]), Dialect::Keras3, ["q", "v", "v"]);
        check(json!([[["q", 0, 0, {"value": ["v", 0, 0]}]]]), Dialect::Keras2, ["q", "v", "v"]);
        let both = json!([[["q", 0, 0, {"key": ["k", 0, 0], "value": ["v", 0, 0]}]]]);
        check(both, Dialect::Keras2, ["q", "v", "k"]);
    }

    #[test]
    fn masks_and_what_is_given_twice_or_not_at_all_are_refused() {
        let check = |nodes: Value, dialect, expected: &str| {
            let problem = names(&nodes, "MultiHeadAttention", dialect).unwrap_err();
            assert!(problem.contains(expected), "{problem}");
        };
        let (q, v) = (tensor("q"), tensor("v"));
        let three = Dialect::Keras3;
        check(
            json!([{"args": [q, v], "kwargs": {"attention_mask": v}}]),
            three,
            "called with `attention_mask`",
        );
        check(
            json!([{"args": [q, v], "kwargs": {"use_causal_mask": true}}]),
            three,
            "called with `use_causal_mask`",
        );
        let scores = json!([{"args": [q, v], "kwargs": {"return_attention_scores": true}}]);
        check(scores, three, "called with `return_attention_scores`");
        check(json!([{"args": [q, v], "kwargs": {"value": v}}]), three, "two tensors as `value`");
        check(json!([{"args": [q], "kwargs": {}}]), three, "without `query` or `value`");
        check(json!([{"args": [q, v, v, v], "kwargs": {}}]), three, "4 inputs");
        check(json!([{"args": [q, v], "kwargs": {"value": 3}}]), three, "called with `value` = 3");
        check(json!([[["q", 0, 0, {"value": 3}]]]), Dialect::Keras2, "called with `value` = 3");
    }

    #[test]
    fn only_layers_that_combine_element_by_element_take_constants() {
        let nodes = json!([[["a", 0, 0, {}], ["_CONSTANT_VALUE", -1, [[1.0]], {}]]]);
        assert_eq!(names(&nodes, "Add", Dialect::Keras2).unwrap(), ["a", "[[1.0]]"]);
        assert!(names(&nodes, "Concatenate", Dialect::Keras2).is_err());
    }
}
