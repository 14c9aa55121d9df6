//! Nodes that no output depends on.

use crate::graph::{Graph, Value};

/// Drops the nodes that no output depends on. The input stays.
#[must_use]
pub fn drop_dead_nodes(graph: Graph) -> Graph {
    let mut is_read = vec![false; graph.nodes.len()];
    for value in graph.outputs.iter().chain([&graph.input]) {
        is_read[value.index()] = true;
    }
    for (index, node) in graph.nodes.iter().enumerate().rev() {
        if is_read[index] {
            node.inputs.iter().for_each(|input| is_read[input.index()] = true);
        }
    }
    // The new place of each node that stays; those that go have the place of the next.
    let places: Vec<Value> = is_read
        .iter()
        .scan(0, |next, is_read| {
            let place = Value::at(*next);
            *next += usize::from(*is_read);
            Some(place)
        })
        .collect();
    let moved = |value: Value| places[value.index()];
    let kept = graph.nodes.into_iter().zip(&is_read).filter(|(_, is_read)| **is_read);
    let nodes = kept.map(|(mut node, _)| {
        node.inputs.iter_mut().for_each(|input| *input = moved(*input));
        node
    });
    Graph {
        nodes: nodes.collect(),
        input: moved(graph.input),
        outputs: graph.outputs.into_iter().map(moved).collect(),
    }
}
