//! Completes the generated description: bodies and parameters for client generators, the errors with an example of
//! each, links between calls, and the closed list of image errors.

use common::messages::ImageErrorCode;
use serde_json::{Map, Value, json};

use super::examples;
use crate::problem::PROBLEM_JSON;

/// The methods of paths.
const METHODS: [&str; 4] = ["get", "post", "put", "delete"];

/// Completes a document.
pub(super) fn complete(document: &mut Value) {
    if let Some(code) = document.pointer_mut("/components/schemas/ImageProblem/properties/code") {
        code["enum"] = json!(ImageErrorCode::ALL);
    }
    if let Some(content) = document.pointer_mut("/paths/~1classifier~1predictions/post/requestBody/content") {
        bodies(content);
    }
    let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) else { return };
    for item in paths.values_mut() {
        for method in METHODS {
            if let Some(operation) = item.get_mut(method) {
                errors(operation);
                parameters(operation);
                without_key(operation);
                links(operation);
            }
        }
    }
}

/// The bytes of an image are a string of format `binary`, those of a form an object.
fn bodies(content: &mut Value) {
    let binary = || json!({"type": "string", "format": "binary"});
    for kind in ["image/*", "application/octet-stream"] {
        content[kind] = json!({"schema": binary()});
    }
    let images = json!({"type": "array", "items": binary(), "minItems": 1,
        "description": "Image files; their order gives the ids, from 0"});
    // A part may have any name that is valid in a header; `images` is only a suggestion.
    let form = json!({"type": "object", "minProperties": 1, "properties": {"images": images}, "additionalProperties": binary(), "propertyNames": {"pattern": "^[^\\u0000-\\u001f\\u007f]*$"}});
    content["multipart/form-data"] = json!({"schema": form});
}

/// Removes `null` from the types of parameters: no query or header holds a null.
fn parameters(operation: &mut Value) {
    for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(kind) = parameter.pointer_mut("/schema/type") else { continue };
        if let Some(name) = kind.as_array().and_then(|kinds| kinds.iter().find(|name| *name != "null")) {
            *kind = name.clone();
        }
    }
}

/// Calls without a key get an empty list. A list with an empty requirement would mean an optional key.
fn without_key(operation: &mut Value) {
    if operation["security"] == json!([{}]) {
        operation["security"] = json!([]);
    }
}

/// Adds links to the calls that use values of an answer.
fn links(operation: &mut Value) {
    let id = operation["operationId"].as_str().unwrap_or_default();
    let (statuses, calls, parameter, expression): (&[_], &[_], _, _) = match id {
        "create_prediction" => (
            &["200", "202"],
            &["read_prediction", "delete_prediction"],
            "id",
            "$response.header.X-Prediction-Id",
        ),
        "swap_model" | "roll_back_model" => {
            (&["202"], &["read_rollout"], "generation", "$response.body#/response/generation")
        }
        _ => return,
    };
    for status in statuses {
        let response = &mut operation["responses"][status];
        for call in calls {
            response["links"][call] = json!({"operationId": call, "parameters": {parameter: expression}});
        }
    }
}

/// Describes the errors of an operation: each status with the errors that have it, and an example of each.
fn errors(operation: &mut Value) {
    let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
    for (status, codes) in examples::of(&id) {
        let meanings: Vec<String> = codes.iter().map(|code| code.meaning()).collect();
        let shown: Map<String, Value> = codes
            .iter()
            .map(|code| (code.name().to_owned(), json!({"value": examples::problem(*code)})))
            .collect();
        let schema = json!({"$ref": "#/components/schemas/Problem"});
        operation["responses"][status.to_string()] = json!({"description": meanings.join(" "),
            "content": {PROBLEM_JSON: {"schema": schema, "examples": shown}}});
    }
}
