//! Builds a graph, one primitive after the other.

use std::collections::HashMap;
use std::sync::Arc;

use crate::fault::Fault;
use crate::graph::{Graph, Node, Value};
use crate::op::Op;
use crate::rules;
use crate::shape::Shape;
use crate::tensor::Tensor;

pub(crate) mod composites;
mod primitives;

/// Most axes of a value. TensorFlow supports a few more. Images have three.
const MAX_AXES: usize = 16;

/// Most elements of a value for one image: 8 GiB.
const MAX_ELEMENTS: usize = 1 << 31;

/// Most elements of a value for one image, where the image itself is small. A file of some kilobytes can name padding and
/// upsampling of any size.
const MAX_OF_SMALL: usize = 1 << 24;

/// Most elements of a value per element of a larger image: ten times those of VGG16, whose first layers are the largest of
/// any network.
const MAX_GROWTH: usize = 256;

/// Most elements of a value for one image of this height, width and number of channels.
#[must_use]
pub fn most_elements(image: [usize; 3]) -> usize {
    let elements = image.into_iter().fold(1, usize::saturating_mul);
    elements.saturating_mul(MAX_GROWTH).clamp(MAX_OF_SMALL, MAX_ELEMENTS)
}

/// A graph that grows. Each method checks a primitive's inputs and computes its shape; after a fault the builder is as it
/// was before.
#[derive(Debug)]
pub struct Builder {
    nodes: Vec<Node>,
    input: Option<Value>,
    layer: Arc<str>,
    /// Most elements of a value for one image.
    most: usize,
    /// Constants by the place of their values in memory, and their shape.
    constants: HashMap<(usize, Vec<usize>), Value>,
    /// Scalars by their bits.
    scalars: HashMap<u32, Value>,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// An empty graph whose values only have to fit a large machine.
    #[must_use]
    pub fn new() -> Self {
        Self {
            nodes: Vec::new(),
            input: None,
            layer: Arc::from(""),
            most: MAX_ELEMENTS,
            constants: HashMap::new(),
            scalars: HashMap::new(),
        }
    }

    /// An empty graph that is to be run with images of this height, width and number of channels. Its values may be larger
    /// than the image by what networks need.
    #[must_use]
    pub fn for_images(image: [usize; 3]) -> Self {
        Self { most: most_elements(image), ..Self::new() }
    }

    /// Starts a layer: the nodes added from here on have its name.
    pub fn begin(&mut self, layer: &str) {
        self.layer = Arc::from(layer);
    }

    /// The shape of a value.
    ///
    /// # Panics
    /// The value is of another graph.
    #[must_use]
    pub fn shape(&self, value: Value) -> &Shape {
        &self.node(value).shape
    }

    /// The node that computes a value.
    ///
    /// # Panics
    /// The value is of another graph.
    #[must_use]
    pub fn node(&self, value: Value) -> &Node {
        &self.nodes[value.index()]
    }

    /// Adds any primitive, just as it is.
    ///
    /// # Errors
    /// It cannot take these inputs, or its output is too large; says why.
    pub fn add(&mut self, op: Op, inputs: &[Value]) -> Result<Value, Fault> {
        let shapes: Vec<&Shape> = inputs.iter().map(|input| self.shape(*input)).collect();
        let shape = rules::output(&op, &shapes)?;
        self.check_size(&op, &shape)?;
        let value = Value::at(self.nodes.len());
        if matches!(op, Op::Input { .. }) {
            if self.input.is_some() {
                return Err("the graph has two inputs, expected one".into());
            }
            self.input = Some(value);
        }
        self.nodes.push(Node { op, inputs: inputs.to_vec(), shape, layer: Arc::clone(&self.layer) });
        Ok(value)
    }

    fn check_size(&self, op: &Op, shape: &Shape) -> Result<(), Fault> {
        if shape.len() > MAX_AXES {
            return Err(Fault(format!("its output has {} axes, expected at most {MAX_AXES}", shape.len())));
        }
        let (elements, most) = (shape.least_elements(), self.most);
        if elements > MAX_ELEMENTS {
            return Err(Fault(format!(
                "its output of shape {} is too large to be computed",
                shape.described()
            )));
        }
        if elements > most && !matches!(op, Op::Constant(_)) {
            let name = op.name();
            return Err(Fault(format!(
                "its {name} gives {elements} values for an image, expected at most {most}"
            )));
        }
        Ok(())
    }

    /// Adds a constant. One whose values were added before, in the same shape, is the same value.
    ///
    /// # Errors
    /// It has no elements, or not as many values as its shape says.
    pub fn constant(&mut self, tensor: &Tensor) -> Result<Value, Fault> {
        if let ([], [value]) = (&tensor.shape[..], &tensor.values[..]) {
            return self.scalar(*value);
        }
        // All tensors that were not read may lie at the same place.
        if !tensor.is_read() {
            return self.add(Op::Constant(tensor.clone()), &[]);
        }
        let key = (tensor.values.as_ptr() as usize, tensor.shape.clone());
        if let Some(known) = self.constants.get(&key) {
            return Ok(*known);
        }
        let value = self.add(Op::Constant(tensor.clone()), &[])?;
        self.constants.insert(key, value);
        Ok(value)
    }

    /// Adds a single number. A number that was added before is the same value.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn scalar(&mut self, number: f32) -> Result<Value, Fault> {
        if let Some(known) = self.scalars.get(&number.to_bits()) {
            return Ok(*known);
        }
        let value = self.add(Op::Constant(Tensor::scalar(number)), &[])?;
        self.scalars.insert(number.to_bits(), value);
        Ok(value)
    }

    /// The finished graph.
    ///
    /// # Errors
    /// It has no input or no output.
    pub fn finish(self, outputs: Vec<Value>) -> Result<Graph, Fault> {
        match self.input {
            Some(input) if !outputs.is_empty() => Ok(Graph { nodes: self.nodes, input, outputs }),
            Some(_) | None => Err("the model has no input or no output".into()),
        }
    }
}
