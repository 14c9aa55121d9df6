//! The arguments of an operation's call.

use serde_json::Value;

use super::{Reader, shown};
use crate::architecture::{ARGUMENTS, INPUT};

/// The names of an operation's first argument, its input.
const SUBJECTS: [&str; 12] = [
    "x",
    "inputs",
    "input",
    "images",
    "image",
    "tensor",
    "input_tensor",
    "logits",
    "features",
    "value",
    "x1",
    "a",
];

impl<'a> Reader<'a> {
    /// Returns the argument at a position, or under one of these names.
    pub(crate) fn argument(&mut self, position: usize, names: &[&'static str]) -> Option<&'a Value> {
        self.positions = self.positions.max(position + 1);
        let by_position =
            self.value(ARGUMENTS).and_then(|list| list.get(position)).filter(|value| !value.is_null());
        names.iter().fold(by_position, |found, name| found.or(self.value(name)))
    }

    /// Adds a fault unless the first argument is the first input.
    pub(crate) fn subject(&mut self) {
        let value = self.argument(0, &SUBJECTS);
        if value.and_then(input_number) != Some(0) {
            let found = value.map_or_else(|| "missing".to_owned(), shown);
            self.fault(format!("its first argument is {found}, expected the output of a layer"));
        }
    }

    /// Adds a fault unless the first argument lists all inputs in order.
    pub(crate) fn subjects(&mut self) {
        let value = self.argument(0, &["values", "xs", "arrays", "x", "inputs"]);
        let list = value.and_then(Value::as_array);
        let all_in_order = list.is_some_and(|list| {
            list.iter().enumerate().all(|(index, value)| input_number(value) == Some(index))
        });
        if !all_in_order {
            let found = value.map_or_else(|| "missing".to_owned(), shown);
            self.fault(format!("its first argument is {found}, expected outputs of layers"));
        }
    }

    /// Adds a fault for every argument that was not asked for.
    pub(crate) fn no_more_arguments(&mut self) {
        let list = self.value(ARGUMENTS).and_then(Value::as_array);
        let more: Vec<String> = list
            .into_iter()
            .flatten()
            .skip(self.positions)
            .filter(|value| !value.is_null())
            .map(|value| format!("it is called with {}, which is not supported", shown(value)))
            .collect();
        self.problems.extend(more);
    }
}

/// The index of the input that an argument stands for.
pub(crate) fn input_number(value: &Value) -> Option<usize> {
    value.get(INPUT).and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok())
}
