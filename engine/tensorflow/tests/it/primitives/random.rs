//! Random graphs. A failure names its seed.

use std::sync::Arc;

use engine::Batch;
use model::reference::{Budget, evaluate};
use model::{Graph, Node, Op, Shape, Size, Value};
use tensorflow_engine::{Convolutions, Library, Spread};
use testing::graphs::{Kind, graph, graph_of, images};

use super::IMAGES;
use crate::support::library;

/// Relative to the largest value of the reference: what a dozen operations round.
const TOLERANCE: f64 = 1e-4;

#[test]
fn single_primitives_are_those_of_the_reference() {
    for kind in Kind::ALL {
        let compared: usize =
            (0..12).map(|seed| check(&format!("{kind:?}"), seed, graph_of(kind, seed))).sum();
        // Where nothing is compared, nothing is tested. A constant is no output of an engine.
        assert!(compared > 0 || kind == Kind::Constant, "{kind:?}");
    }
}

#[test]
fn random_graphs_are_those_of_the_reference() {
    let compared: usize = (0..120).map(|seed| check("graph", seed, graph(seed))).sum();
    assert!(compared > 60, "{compared}");
}

/// Compares each output of a graph that an engine can have: one with the batch, of finite numbers. Returns how many these are.
fn check(name: &str, seed: u64, graph: Graph) -> usize {
    if graph.nodes.iter().any(is_wrong_in_tensorflow) {
        return 0;
    }
    let batch = images(&graph, IMAGES, seed);
    let expected = evaluate(&graph, &batch, Budget::default()).unwrap();
    let convolutions = if seed.is_multiple_of(2) { library().convolutions } else { Convolutions::Plain };
    let library = Library { convolutions, cores: 1, ..library().clone() };
    let image = batch.shape[1..].try_into().unwrap();
    let batch = Batch::new(IMAGES, image, batch.values.iter().map(|value| *value as f32).collect::<Vec<_>>());
    let mut compared = 0;
    for (output, expected) in graph.outputs.iter().zip(expected) {
        let Some(graph) = with_scores(&graph, *output) else { continue };
        if !expected.values.iter().all(|value| value.is_finite()) {
            continue;
        }
        let name = format!("{name} {seed}, {output}");
        let engine = tensorflow_engine::engine(&library, graph.clone())
            .unwrap_or_else(|error| panic!("{name}: {error}\n{graph}"));
        let scores = engine
            .run_bare(&batch, Spread::OneCore)
            .unwrap_or_else(|error| panic!("{name}: {error}\n{graph}"));
        super::compare(&name, &graph, TOLERANCE, (&scores.values, &expected.values));
        compared += 1;
    }
    compared
}

/// TensorFlow's plain convolution of one channel computes something else where it gives one column and has strides of 1 and
/// more: `tf.nn.conv2d` of `[1, 4, 4, 1]` with a kernel `[1, 2, 1, 1]` and strides `[1, 1, 3, 1]` does in 2.21.
fn is_wrong_in_tensorflow(node: &Node) -> bool {
    let Op::Convolution(by) = &node.op else { return false };
    let [vertical, horizontal] = by.windows;
    let is_of_one_channel = by.kernel.shape[2] == 1;
    is_of_one_channel && node.shape[2] == Size::Known(1) && vertical.stride == 1 && horizontal.stride > 1
}

/// The graph with one output, as a row for each image. `None` where it has no batch.
fn with_scores(graph: &Graph, output: Value) -> Option<Graph> {
    let shape = &graph.node(output).shape;
    let elements = shape.elements().filter(|_| shape.first().is_some_and(|size| size.is_batch()))?;
    let mut graph = graph.clone();
    let shape = Shape::batched([elements]);
    let op = Op::Reshape { shape: shape.clone() };
    graph.nodes.push(Node { op, inputs: vec![output], shape, layer: Arc::from("scores") });
    graph.outputs = vec![Value::at(graph.nodes.len() - 1)];
    Some(graph)
}
