//! Makes a graph smaller, in ways that are good for every engine. It computes the same values, but for rounding.
//!
//! Most passes visit the nodes in order with `visit`. A pass fuses two nodes only where no other node reads the value
//! between, unless nothing is then computed twice (`join_rearrangements`). A pass keeps the shapes, cannot fail, and
//! leaves alone what it does not know, such as weights without values.
//!
//! To add a pass: a file here, its place in [`standard`], its text before and after in `tests/it/passes.rs`, its name
//! in `PASSES` of `tests/it/random_graphs.rs`. That test wants it to change at least 20 of 500 graphs; where patterns
//! are too rare, add a `Kind` to `testing/src/graphs.rs`, as `Kind::Block` does.

use crate::graph::{Graph, Value};

mod batch_norm;
mod constants;
mod dead;
mod padding;
mod rearranging;

pub use self::batch_norm::fold_batch_norms;
pub use self::constants::fold_constants;
pub use self::dead::drop_dead_nodes;
pub use self::padding::fold_padding;
pub use self::rearranging::join_rearrangements;

/// All passes, in the order in which they help each other. Each engine calls this first.
#[must_use]
pub fn standard(graph: Graph) -> Graph {
    // What is not read does not count as a reader.
    let graph = drop_dead_nodes(graph);
    let graph = fold_constants(graph);
    // Brings convolutions next to what can be folded into them.
    let graph = join_rearrangements(graph);
    let graph = drop_dead_nodes(graph);
    let graph = fold_padding(graph);
    let graph = fold_batch_norms(graph);
    drop_dead_nodes(graph)
}

/// Visits each node, whose inputs already are what earlier visits made of them. A visit may change the node. Where it returns
/// a value, of a node before, all that read the node read that one instead.
fn visit(mut graph: Graph, mut visit: impl FnMut(&mut Graph, Value) -> Option<Value>) -> Graph {
    let mut instead: Vec<Value> = graph.values().collect();
    for value in graph.values() {
        for input in &mut graph.nodes[value.index()].inputs {
            *input = instead[input.index()];
        }
        if let Some(other) = visit(&mut graph, value) {
            instead[value.index()] = other;
        }
    }
    for output in &mut graph.outputs {
        *output = instead[output.index()];
    }
    graph
}
