//! Builds a TensorFlow graph with the weights of a [`Model`].

use tensorflow::{DataType, Graph, Output};

use super::inputs::Inputs;
use super::layers;
use super::library::{Convolutions, Library};
use super::ops::{Fault, Finished, Ops, Variable};
use engine::Device;
use keras::Model;
use keras::layers::Layer;

/// Sizes of a node's output, the batch first; `None` for a size that is unknown before a run.
pub type NodeShape = Vec<Option<usize>>;

/// Most values of an operation's output per image, where the image itself is small. A file of some kilobytes can name
/// padding and upsampling of any size.
const MAX_VALUES: usize = 1 << 24;

/// Most values of an operation's output per value of a larger image: ten times those of VGG16, whose first layers are the
/// largest of any network.
const MAX_GROWTH: usize = 256;

/// The library and the options that a graph is built for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) library: &'a Library,
    pub(super) convolutions: Convolutions,
    /// Whether the graph takes uint8 pixel values, besides the float32 values that the model takes.
    pub(super) takes_uint8: bool,
}

impl<'a> Target<'a> {
    /// The best target on this machine, without loss of accuracy. A GPU is sent a quarter of the bytes where images are
    /// uint8. On a CPU nothing has to be sent.
    pub(super) fn of(library: &'a Library) -> Self {
        Self { library, convolutions: library.convolutions, takes_uint8: library.device != Device::Cpu }
    }
}

/// A graph that computes a model's outputs from a batch of images.
pub(super) struct BuiltGraph {
    pub(super) graph: Graph,
    /// Its inputs, `[batch, height, width, channels]`.
    pub(super) inputs: Inputs,
    /// The model's first output.
    pub(super) scores: Output,
    /// The same output for runs over all cores.
    pub(super) scores_over_all_cores: Output,
    /// The variables that a session assigns before its first run.
    pub(super) variables: Vec<Variable>,
    /// One for each of the model's nodes.
    pub(super) shapes: Vec<NodeShape>,
}

/// Builds the graph. The sizes that the model leaves open are those of `image`, if it is given. TensorFlow then knows every
/// shape before the first run.
///
/// # Errors
/// Every layer that cannot be built, by name. Layers that depend on one of these are skipped.
pub(super) fn build(
    model: &Model,
    image: Option<[usize; 3]>,
    target: Target<'_>,
) -> Result<BuiltGraph, Vec<String>> {
    // Without an image nothing is run.
    let most = image.map_or(usize::MAX, |image| {
        let values = image.into_iter().fold(1, usize::saturating_mul);
        values.saturating_mul(MAX_GROWTH).max(MAX_VALUES)
    });
    let mut ops = Ops::new(target, most);
    let Layers { input, scores, shapes } = add_layers(&mut ops, model, image, None)?;
    // Tiles save multiplications, but the operations between do not parallelize well.
    let scores_over_all_cores = if ops.start_without_tiles() {
        add_layers(&mut ops, model, image, Some(&input))?.scores
    } else {
        scores.clone()
    };
    let Finished { graph, variables, uint8 } = ops.finish();
    let inputs = Inputs { float32: input, uint8 };
    Ok(BuiltGraph { graph, inputs, scores, scores_over_all_cores, variables, shapes })
}

/// A model's layers in a graph.
struct Layers {
    input: Output,
    scores: Output,
    shapes: Vec<NodeShape>,
}

/// Adds every layer. An `input` that is given is the model's input.
fn add_layers(
    ops: &mut Ops,
    model: &Model,
    image: Option<[usize; 3]>,
    input: Option<&Output>,
) -> Result<Layers, Vec<String>> {
    let mut outputs: Vec<Option<Output>> = Vec::with_capacity(model.nodes.len());
    let mut shapes: Vec<NodeShape> = Vec::with_capacity(model.nodes.len());
    let mut rows = vec![1_usize; model.nodes.len()];
    let mut problems = Vec::new();
    for (index, node) in model.nodes.iter().enumerate() {
        ops.begin(index, &node.name);
        let inputs: Option<Vec<Output>> =
            node.inputs.iter().map(|input| outputs.get(*input).cloned().flatten()).collect();
        let Some(inputs) = inputs else {
            outputs.push(None);
            continue;
        };
        rows[index] = node.inputs.iter().filter_map(|input| rows.get(*input).copied()).max().unwrap_or(1);
        ops.with_rows(rows[index]);
        let layer = with_sizes(&node.layer, image);
        let output = match input {
            Some(input) if index == model.input => Ok(input.clone()),
            _ => layers::add(ops, layer.as_ref().unwrap_or(&node.layer), &inputs),
        };
        match output.and_then(|output| Ok((ops.sizes(&output)?, output))) {
            Ok((shape, output)) => {
                if let (Layer::Reshape { .. }, [input]) = (&node.layer, &node.inputs[..]) {
                    rows[index] = folded(rows[index], shapes.get(*input), &shape);
                }
                shapes.push(shape);
                outputs.push(Some(output));
            }
            Err(Fault(fault)) => {
                problems.push(format!("layer `{}` ({}): {fault}", node.name, node.class));
                outputs.push(None);
            }
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let ends = model.outputs.first().and_then(|index| {
        let find = |index: usize| outputs.get(index).cloned().flatten();
        Some((find(model.input)?, find(*index)?))
    });
    let (input, last) = ends.ok_or_else(|| vec!["the model has no input or no output".to_owned()])?;
    ops.with_rows(1);
    // An operation of its own, since TensorFlow cannot fetch a tensor that is fed.
    ops.begin(model.nodes.len(), "scores");
    let scores = ops
        .cast(&last, DataType::Float)
        .and_then(|last| ops.unary("Identity", &last))
        .map_err(|Fault(fault)| vec![fault])?;
    Ok(Layers { input, scores, shapes })
}

/// The rows of the batch per image after a reshape, which may fold parts of the image into the batch.
fn folded(rows: usize, from: Option<&NodeShape>, to: &NodeShape) -> usize {
    let count = |shape: &NodeShape| {
        shape.iter().skip(1).try_fold(1_usize, |product, size| product.checked_mul((*size)?))
    };
    match from.and_then(count).zip(count(to)) {
        Some((from, to)) if to > 0 => rows.saturating_mul(from) / to,
        Some(_) | None => rows,
    }
    .max(1)
}

/// An input layer with its unknown sizes taken from `image`; `None` for other layers.
fn with_sizes(layer: &Layer, image: Option<[usize; 3]>) -> Option<Layer> {
    match (layer, image) {
        (Layer::Input { shape }, Some(image)) if shape.len() == image.len() => Some(Layer::Input {
            shape: shape.iter().zip(image).map(|(size, given)| Some(size.unwrap_or(given))).collect(),
        }),
        _ => None,
    }
}

/// Formats sizes without a batch: `[224, any, 3]`.
pub(super) fn show(sizes: &[Option<usize>]) -> String {
    let sizes: Vec<String> =
        sizes.iter().map(|size| size.map_or_else(|| "any".to_owned(), |n| n.to_string())).collect();
    format!("[{}]", sizes.join(", "))
}

/// Formats sizes with a batch: `[batch, 10]`.
pub(super) fn show_batched(shape: &[Option<usize>]) -> String {
    match shape.split_first() {
        Some((None, rest)) if !rest.is_empty() => format!("[batch, {}", &show(rest)[1..]),
        _ => show(shape),
    }
}
