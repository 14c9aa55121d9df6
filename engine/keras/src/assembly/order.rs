//! The order of the calls of a model.

use std::collections::{BTreeSet, HashMap};

use crate::architecture::ModelSpec;

/// The calls of a model in topological order, otherwise as in the file.
pub(super) struct Order {
    ready: BTreeSet<(usize, usize)>,
    waiting: HashMap<(usize, usize), usize>,
    users: HashMap<(usize, usize), Vec<(usize, usize)>>,
}

impl Order {
    pub(super) fn new(model: &ModelSpec) -> Self {
        let mut order = Self { ready: BTreeSet::new(), waiting: HashMap::new(), users: HashMap::new() };
        for (member, target) in model.members.iter().enumerate() {
            for (call, inputs) in target.calls.iter().enumerate() {
                if inputs.is_empty() {
                    order.ready.insert((member, call));
                } else {
                    order.waiting.insert((member, call), inputs.len());
                }
                for source in inputs {
                    order.users.entry((source.member, source.call)).or_default().push((member, call));
                }
            }
        }
        order
    }

    pub(super) fn next(&mut self) -> Option<(usize, usize)> {
        let call = self.ready.pop_first()?;
        for user in self.users.remove(&call).unwrap_or_default() {
            if let Some(count) = self.waiting.get_mut(&user) {
                *count -= 1;
                if *count == 0 {
                    self.waiting.remove(&user);
                    self.ready.insert(user);
                }
            }
        }
        Some(call)
    }

    pub(super) fn left_over(&self) -> BTreeSet<usize> {
        self.waiting.keys().map(|&(member, _)| member).collect()
    }
}
