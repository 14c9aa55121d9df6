//! Reshapes and transposes, one after the other.

use crate::graph::{Graph, Value};
use crate::op::Op;

/// Makes one reshape of two in a row, and one transpose of two. What has no effect is dropped, such as a transpose to channels
/// last after one to channels first. It is done even where another node reads the value between: nothing is computed twice.
#[must_use]
pub fn join_rearrangements(graph: Graph) -> Graph {
    super::visit(graph, |graph, value| {
        let [before] = graph.node(value).inputs[..] else { return None };
        let joined = match (&graph.node(before).op, &graph.node(value).op) {
            (Op::Reshape { .. }, Op::Reshape { shape }) => Some(Op::Reshape { shape: shape.clone() }),
            (Op::Transpose { order: first }, Op::Transpose { order }) => {
                Some(Op::Transpose { order: order.iter().map(|axis| first[*axis]).collect() })
            }
            _ => None,
        };
        if let Some(joined) = joined {
            let [source] = graph.node(before).inputs[..] else { return None };
            let node = &mut graph.nodes[value.index()];
            node.op = joined;
            node.inputs = vec![source];
        }
        without_effect(graph, value)
    })
}

/// The value that a rearrangement gives unchanged, if it does.
fn without_effect(graph: &Graph, value: Value) -> Option<Value> {
    let node = graph.node(value);
    let [source] = node.inputs[..] else { return None };
    let is_same = if let Op::Transpose { order } = &node.op {
        order.iter().copied().eq(0..order.len())
    } else {
        // Of two shapes with open sizes nobody knows.
        matches!(node.op, Op::Reshape { .. })
            && node.shape == graph.node(source).shape
            && !node.shape.is_open()
    };
    is_same.then_some(source)
}
