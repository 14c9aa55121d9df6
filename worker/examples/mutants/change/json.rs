//! Changes to JSON: to its text, or to one of its values.

use serde_json::{Map, Value, json};

use super::bytes;
use crate::random::Random;

/// Deeper than any parser's limit.
const DEEP: usize = 300;

/// Changes the text, or values of it.
pub(crate) fn change(text: &mut Vec<u8>, random: &mut Random) {
    match serde_json::from_slice::<Value>(text) {
        Ok(mut value) if !random.one_in(4) => {
            for _ in 0..=random.below(3) {
                change_value(&mut value, random);
            }
            *text = value.to_string().into_bytes();
        }
        Ok(_) | Err(_) => bytes::change(text, random),
    }
}

/// Changes one value somewhere in a document.
pub(crate) fn change_value(document: &mut Value, random: &mut Random) {
    let all = count(document);
    let another = nth(document, &mut random.below(all)).cloned().unwrap_or_default();
    if let Some(value) = nth_mut(document, &mut random.below(all)) {
        replace(value, another, random);
    }
}

fn replace(value: &mut Value, another: Value, random: &mut Random) {
    match value {
        Value::Array(list) if !list.is_empty() && !random.one_in(4) => {
            let at = random.below(list.len());
            match random.below(5) {
                0 => drop(list.remove(at)),
                1 => list.insert(at, list[at].clone()),
                2 => list.insert(at, another),
                3 => list.reverse(),
                _ => *list = list.iter().cycle().take(list.len() * 40).cloned().collect(),
            }
        }
        Value::Object(object) if !object.is_empty() && !random.one_in(4) => {
            let at = random.below(object.len());
            let key = object.keys().nth(at).cloned().unwrap_or_default();
            let old = object.remove(&key).unwrap_or_default();
            match random.below(4) {
                0 => {}
                1 => drop(object.insert(format!("{key}_"), old)),
                2 => drop(object.insert(key, another)),
                _ => object.extend([(key, old), ("name".to_owned(), another)]),
            }
        }
        Value::Number(_) => *value = number(random),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            *value = match random.below(10) {
                0 => Value::Null,
                1 => json!(true),
                2 => json!(""),
                3 => json!([]),
                4 => json!({}),
                5 => (0..DEEP).fold(Value::Null, |inner, _| json!([inner])),
                6 => json!("a/../\u{0}\u{fffd}".repeat(20)),
                7 => number(random),
                _ => another,
            }
        }
    }
}

fn number(random: &mut Random) -> Value {
    match random.below(12) {
        0 => json!(0),
        1 => json!(1),
        2 => json!(-1),
        3 => json!(2_u64.pow(31)),
        4 => json!(2_u64.pow(31) - 1),
        5 => json!(u64::MAX),
        6 => json!(i64::MIN),
        7 => json!(1e300),
        8 => json!(0.5),
        9 => json!(1 << random.below(31)),
        10 => json!([random.below(5), 1 << random.below(31)]),
        _ => json!(random.below(40)),
    }
}

/// Counts the values, including the document and everything in it.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(list) => list.iter().map(count).sum(),
        Value::Object(object) => object.values().map(count).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// Returns the value with this number.
fn nth<'a>(value: &'a Value, left: &mut usize) -> Option<&'a Value> {
    if *left == 0 {
        return Some(value);
    }
    *left -= 1;
    match value {
        Value::Array(list) => list.iter().find_map(|value| nth(value, left)),
        Value::Object(object) => object.values().find_map(|value| nth(value, left)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn nth_mut<'a>(value: &'a mut Value, left: &mut usize) -> Option<&'a mut Value> {
    if *left == 0 {
        return Some(value);
    }
    *left -= 1;
    match value {
        Value::Array(list) => list.iter_mut().find_map(|value| nth_mut(value, left)),
        Value::Object(object) => Map::values_mut(object).find_map(|value| nth_mut(value, left)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}
