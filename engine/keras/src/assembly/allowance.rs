//! How much the calls of a model may take.

use model::{Builder, Op, Value};

use crate::architecture::{Member, ModelSpec};

/// Most calls of layers and models. A few nested models that each call the next one twice make any number.
const MAX_CALLS: usize = 50_000;

/// Most bytes of all calls. Each repeats names, shapes and settings, which may be long, and becomes several nodes.
const MAX_BYTES: usize = 64 << 20;

/// The bytes of a call that fails, which may compute as much as another.
const BYTES_OF_FAULT: usize = 64 << 10;

/// What the calls took so far.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    calls: usize,
    bytes: usize,
    /// The nodes of the graph that were counted.
    nodes: usize,
}

impl Allowance {
    /// Counts a call of so many bytes.
    ///
    /// # Errors
    /// There are too many; says so.
    pub(super) fn count(&mut self, bytes: usize) -> Result<(), String> {
        self.calls += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.calls > MAX_CALLS {
            return Err(format!("the model has more than {MAX_CALLS} calls of layers and models"));
        }
        if self.bytes > MAX_BYTES {
            return Err(format!("the model's calls take more than {MAX_BYTES} bytes"));
        }
        Ok(())
    }

    /// Takes the bytes of the nodes that were not counted yet, up to this one: of their shapes, and of what was computed for
    /// them.
    pub(super) fn take_nodes(&mut self, value: Value, builder: &Builder) {
        let nodes = self.nodes..(value.index() + 1).max(self.nodes);
        self.nodes = nodes.end;
        for value in nodes.map(Value::at) {
            let node = builder.node(value);
            let indices = if let Op::Gather { indices, .. } = &node.op { indices.len() } else { 0 };
            let numbers: usize = node.op.weights().iter().map(|tensor| tensor.values.len()).sum();
            let sizes = 16 * node.shape.len() + 8 * (node.inputs.len() + indices) + 4 * numbers;
            self.bytes = self.bytes.saturating_add(256 + sizes);
        }
    }

    /// Takes the bytes of a call that failed.
    pub(super) fn take_fault(&mut self) {
        self.bytes = self.bytes.saturating_add(BYTES_OF_FAULT);
    }
}

/// The bytes that ordering a model's calls takes.
pub(super) fn bytes_of_members(model: &ModelSpec) -> usize {
    let bytes = |member: &Member| {
        64 + member.name.len() + member.calls.iter().map(|inputs| 64 * (1 + inputs.len())).sum::<usize>()
    };
    model.members.iter().map(bytes).sum()
}

#[cfg(test)]
mod tests {
    use model::{Fault, Shape};

    use super::*;

    #[test]
    fn calls_are_limited_in_number_and_in_size() {
        let mut allowance = Allowance::default();
        for _ in 0..MAX_CALLS {
            assert_eq!(allowance.count(0), Ok(()));
        }
        assert_eq!(
            allowance.count(0).unwrap_err(),
            "the model has more than 50000 calls of layers and models"
        );

        let mut allowance = Allowance::default();
        assert_eq!(allowance.count(MAX_BYTES), Ok(()));
        assert_eq!(allowance.count(1).unwrap_err(), "the model's calls take more than 67108864 bytes");
    }

    #[test]
    fn what_a_call_computes_counts_once() -> Result<(), Fault> {
        let mut builder = Builder::new();
        let mut allowance = Allowance::default();
        let x = builder.input(Shape::batched([4, 3]))?;
        let listed = builder.gather(x, 1, vec![0; 1000])?;
        allowance.take_nodes(listed, &builder);
        let nodes = 2 * (256 + 16 * 3) + 8;
        assert_eq!(allowance.bytes, nodes + 8 * 1000);
        // A layer may return a value of another.
        allowance.take_nodes(x, &builder);
        allowance.take_nodes(listed, &builder);
        assert_eq!(allowance.bytes, nodes + 8 * 1000);
        allowance.take_fault();
        assert_eq!(allowance.bytes, nodes + 8 * 1000 + BYTES_OF_FAULT);
        Ok(())
    }
}
