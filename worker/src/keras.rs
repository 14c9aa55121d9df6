//! A Keras model file becomes a [`Model`]: a flat list of typed layers with their weights.
//!
//! Nothing here knows TensorFlow; the graph is built from [`Model`] alone.

use std::fmt;
use std::sync::Arc;

pub mod layers;

use self::layers::Layer;

/// A classifier as Keras saved it: nested models flattened, attributes parsed, weights attached.
#[derive(Debug, Clone)]
pub struct Model {
    /// The model's own name.
    pub name: String,
    /// Every layer call in an order in which inputs come before their users. A layer that is called
    /// twice stands here twice, sharing its weights.
    pub nodes: Vec<Node>,
    /// Index of the one input, a [`Layer::Input`].
    pub input: usize,
    /// Indices of the outputs.
    pub outputs: Vec<usize>,
    /// Layers of the outermost model, as Keras's own summary lists them.
    pub summary: Vec<SummaryRow>,
}

/// One call of one layer.
#[derive(Debug, Clone)]
pub struct Node {
    /// The layer's name; inside a nested model with the outer names before it, joined by `/`. A second
    /// call of the same layer has `:1` behind it, a third `:2`.
    pub name: String,
    /// The layer's class as Keras writes it.
    pub class: String,
    /// What it computes.
    pub layer: Layer,
    /// Indices of the nodes it reads, in order.
    pub inputs: Vec<usize>,
}

/// A row of the summary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SummaryRow {
    /// The layer's name.
    pub name: String,
    /// The layer's class; for a nested model `Functional` or `Sequential`.
    pub class: String,
    /// Index in [`Model::nodes`] of the node that computes its output.
    pub node: usize,
    /// Number of its weights' elements.
    pub parameters: usize,
    /// How many of them training changes.
    pub trainable: usize,
}

/// A dense float32 array; cheap to clone.
#[derive(Clone, PartialEq)]
pub struct Tensor {
    /// Sizes; empty for a scalar.
    pub shape: Vec<usize>,
    /// Row-major; as many as the product of `shape`.
    pub values: Arc<[f32]>,
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor{:?}", self.shape)
    }
}

/// Why a file gave no model: every fault found, each naming its layer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", .problems.join("; "))]
pub struct ImportError {
    /// One sentence each.
    pub problems: Vec<String>,
}
