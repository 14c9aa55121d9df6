//! Lowers a [`Model`] to a graph of primitives.

use model::{Builder, Fault, Graph, Shape, Value};

use crate::layers::Layer;
use crate::{Model, Node};

mod image_input;

impl Model {
    /// The graph of the model's outputs, in their order. Each node has the name of its layer call.
    ///
    /// With an `image`, `[height, width, channels]`, the graph's input is a batch of such images. A model whose own input lacks
    /// the channel axis, is flattened, or has the channels first gets it so, and sizes that the model leaves open are those
    /// of the image. Without one, the input and what depends on its sizes may stay open.
    ///
    /// # Errors
    /// Everything that is wrong: the one reason for which the images do not fit, or else every layer that cannot be lowered, by
    /// name. Layers that depend on one of these are skipped.
    pub fn graph(&self, image: Option<[usize; 3]>) -> Result<Graph, Vec<String>> {
        let (builder, values) = self.lowered(image)?;
        let outputs: Option<Vec<Value>> =
            self.outputs.iter().map(|output| values.get(*output).copied()).collect();
        builder.finish(outputs.unwrap_or_default()).map_err(|Fault(fault)| vec![fault])
    }

    /// The shape of each of [`Model::nodes`], as far as the sizes of its input are known without an image.
    ///
    /// # Errors
    /// As [`graph`](Self::graph).
    pub fn shapes(&self) -> Result<Vec<Shape>, Vec<String>> {
        let (builder, values) = self.lowered(None)?;
        Ok(values.into_iter().map(|value| builder.shape(value).clone()).collect())
    }

    /// The value of each node.
    fn lowered(&self, image: Option<[usize; 3]>) -> Result<(Builder, Vec<Value>), Vec<String>> {
        if let Some(image) = image {
            image_input::check(self, image).map_err(|problem| vec![problem])?;
        }
        let mut builder = image.map_or_else(Builder::new, Builder::for_images);
        let mut values: Vec<Option<Value>> = Vec::with_capacity(self.nodes.len());
        let mut problems = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            builder.begin(&node.name);
            let inputs: Option<Vec<Value>> =
                node.inputs.iter().map(|input| values.get(*input).copied().flatten()).collect();
            let value = inputs.and_then(|inputs| {
                let added = match (image, &node.layer) {
                    (Some(image), Layer::Input { shape }) if index == self.input => {
                        image_input::add(&mut builder, &node.name, shape, image)
                    }
                    (_, layer) => layer.lower(&mut builder, &inputs),
                };
                added.map_err(|fault| problems.push(described(node, &fault))).ok()
            });
            values.push(value);
        }
        match values.into_iter().collect() {
            Some(values) if problems.is_empty() => Ok((builder, values)),
            Some(_) | None => Err(problems),
        }
    }
}

fn described(node: &Node, fault: &Fault) -> String {
    format!("layer `{}` ({}): {fault}", node.name, node.class)
}
