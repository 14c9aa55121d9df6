//! What depends on constants alone.

use crate::graph::{Graph, Node};
use crate::op::Op;
use crate::reference::{Budget, evaluate_node};
use crate::tensor::Tensor;

/// What may be computed in all: 16 MB of constants, and less than a second. A file of some kilobytes can broadcast a number to
/// any size; what is too large stays to be computed by the engine, whose bounds hold then.
const MOST: Budget = Budget { elements: 1 << 22, steps: 1 << 25 };

/// Computes what depends on constants alone.
///
/// Each node is computed in double precision and rounded to float32. Sums, differences, products, quotients and square roots
/// are then exactly those that an engine computes in float32, since double precision has more than twice its digits; so are
/// comparisons and what only moves values. Other functions, and sums of many elements, are as near to the true value as
/// float32 can be, where an engine may be some units in the last place off.
#[must_use]
pub fn fold_constants(graph: Graph) -> Graph {
    let mut left = MOST;
    super::visit(graph, |graph, value| {
        let node = graph.node(value);
        let inputs: Option<Vec<&Tensor>> =
            node.inputs.iter().map(|input| weight(graph.node(*input))).collect();
        let inputs = inputs.filter(|inputs| !inputs.is_empty())?;
        let folded = match (&node.op, &inputs[..]) {
            // Without a copy, of any size.
            (Op::Reshape { .. }, [input]) => input.reshaped(&sizes(node)?),
            _ => {
                let (folded, after) = evaluate_node(node, &inputs, left).ok()?;
                left = after;
                let rounded: Vec<f32> = folded.values.iter().map(|value| *value as f32).collect();
                Tensor::new(&folded.shape, rounded)
            }
        };
        let node = &mut graph.nodes[value.index()];
        node.op = Op::Constant(folded);
        node.inputs.clear();
        None
    })
}

fn weight(node: &Node) -> Option<&Tensor> {
    if let Op::Constant(tensor) = &node.op { Some(tensor) } else { None }
}

fn sizes(node: &Node) -> Option<Vec<usize>> {
    node.shape.iter().map(|size| size.known()).collect()
}
