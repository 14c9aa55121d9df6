//! Graphs of primitives.

use std::sync::Arc;

use crate::op::Op;
use crate::shape::Shape;

/// What a node computes: its index in [`Graph::nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(usize);

impl Value {
    /// The value of the node at this index.
    #[must_use]
    pub fn at(index: usize) -> Self {
        Self(index)
    }

    /// The node's index.
    #[must_use]
    pub fn index(self) -> usize {
        self.0
    }
}

/// One primitive, applied to the values of nodes before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it computes.
    pub op: Op,
    /// From what, in order.
    pub inputs: Vec<Value>,
    /// The shape of what it computes.
    pub shape: Shape,
    /// The layer that it is a part of, for messages.
    pub layer: Arc<str>,
}

/// What a model computes from a batch of images.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// Each reads nodes before it only.
    pub nodes: Vec<Node>,
    /// The images.
    pub input: Value,
    /// The outputs of the model, in its order.
    pub outputs: Vec<Value>,
}

impl Graph {
    /// The node that computes a value of this graph.
    ///
    /// # Panics
    /// The value is of another graph.
    #[must_use]
    pub fn node(&self, value: Value) -> &Node {
        &self.nodes[value.index()]
    }

    /// All values, in order.
    pub fn values(&self) -> impl Iterator<Item = Value> + use<> {
        (0..self.nodes.len()).map(Value::at)
    }

    /// How often each value is read, by nodes and as an output of the model.
    #[must_use]
    pub fn readers(&self) -> Vec<usize> {
        let mut readers = vec![0; self.nodes.len()];
        for value in self.nodes.iter().flat_map(|node| &node.inputs).chain(&self.outputs) {
            readers[value.index()] += 1;
        }
        readers
    }

    /// The first node that cannot be computed, since a size that it depends on is open.
    #[must_use]
    pub fn first_open(&self) -> Option<&Node> {
        self.nodes.iter().find(|node| node.shape.is_open() || matches!(node.op, Op::Unresolved { .. }))
    }
}
