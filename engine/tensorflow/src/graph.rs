//! Builds the TensorFlow graph of a model's graph.

use tensorflow::{DataType, Output};

use super::emit;
use super::inputs::Inputs;
use super::ops::{Fault, Finished, Ops, Variable};
use super::plan::Plan;
use super::target::Target;
use model::{Graph, Op, most_elements};

/// A graph that computes a model's scores from a batch of images.
pub(super) struct BuiltGraph {
    pub(super) graph: tensorflow::Graph,
    /// Its inputs, `[batch, height, width, channels]`.
    pub(super) inputs: Inputs,
    /// The model's first output.
    pub(super) scores: Output,
    /// The same output for runs over all cores.
    pub(super) scores_over_all_cores: Output,
    /// The variables that a session assigns before its first run.
    pub(super) variables: Vec<Variable>,
}

/// Builds the graph for images of this height, width and number of channels. Every size but the batch is known.
///
/// # Errors
/// Everything that cannot be built, by the layer that it is a part of. What depends on it is skipped.
pub(super) fn build(graph: &Graph, image: [usize; 3], target: Target<'_>) -> Result<BuiltGraph, Vec<String>> {
    let plan = Plan::of(graph);
    let mut ops = Ops::new(target, most_elements(image));
    let Ends { input, scores } = add(&mut ops, graph, &plan, None)?;
    // Tiles save multiplications, but the operations between do not parallelize well.
    let scores_over_all_cores = if ops.start_without_tiles() {
        add(&mut ops, graph, &plan, Some(&input))?.scores
    } else {
        scores.clone()
    };
    let Finished { graph, variables, uint8 } = ops.finish();
    let inputs = Inputs { float32: input, uint8 };
    Ok(BuiltGraph { graph, inputs, scores, scores_over_all_cores, variables })
}

/// A model's input and its first output.
struct Ends {
    input: Output,
    scores: Output,
}

/// Adds what a plan says. An `input` that is given is the model's input.
fn add(ops: &mut Ops, graph: &Graph, plan: &Plan, input: Option<&Output>) -> Result<Ends, Vec<String>> {
    let mut outputs: Vec<Option<Output>> = vec![None; graph.nodes.len()];
    let mut problems = Vec::new();
    for step in &plan.steps {
        let node = graph.node(step.gives);
        ops.begin(step.gives.index(), &node.layer, node.shape.rows());
        let output = match (&node.op, input) {
            (Op::Input { .. }, Some(input)) => Ok(Some(input.clone())),
            _ => emit::step(ops, graph, step, &outputs),
        };
        match output {
            Ok(output) => outputs[step.gives.index()] = output,
            Err(Fault(fault)) => problems.push(format!("layer `{}`: {fault}", node.layer)),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let find = |value: model::Value| outputs.get(value.index()).cloned().flatten();
    let ends = graph.outputs.first().and_then(|last| Some((find(graph.input)?, find(*last)?)));
    let (input, last) = ends.ok_or_else(|| vec!["the model has no input or no output".to_owned()])?;
    // An operation of its own, since TensorFlow cannot fetch a tensor that is fed.
    ops.begin(graph.nodes.len(), "scores", 1);
    let scores = ops
        .cast(&last, DataType::Float)
        .and_then(|last| ops.unary("Identity", &last))
        .map_err(|Fault(fault)| vec![fault])?;
    Ok(Ends { input, scores })
}
