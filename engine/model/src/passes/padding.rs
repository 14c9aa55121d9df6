//! Zeros around the image that a convolution sees.

use crate::graph::Graph;
use crate::op::{Convolution, Op, PadMode};
use crate::window::Padding;

/// Folds a padding with zeros into the convolution that alone reads it: its windows go beyond the image.
#[must_use]
pub fn fold_padding(graph: Graph) -> Graph {
    let readers = graph.readers();
    super::visit(graph, |graph, value| {
        let [before] = graph.node(value).inputs[..] else { return None };
        let [source] = graph.node(before).inputs[..] else { return None };
        let Op::Convolution(by) = &graph.node(value).op else { return None };
        let Op::Pad { edges, mode: PadMode::Constant(0.0) } = &graph.node(before).op else { return None };
        let padded = padded(by, edges)?;
        if readers[before.index()] != 1 {
            return None;
        }
        let node = &mut graph.nodes[value.index()];
        node.op = Op::Convolution(padded);
        node.inputs = vec![source];
        None
    })
}

/// The convolution with these edges as its own. None where they are around channels, or where its own padding depends on how
/// many pixels there are.
fn padded(by: &Convolution, edges: &[[usize; 2]]) -> Option<Convolution> {
    let [[0, 0], vertical, horizontal, [0, 0]] = edges else { return None };
    let mut padded = by.clone();
    for (window, edges) in padded.windows.iter_mut().zip([vertical, horizontal]) {
        let Padding::Explicit { before, after } = window.padding else { return None };
        let (before, after) = (before.checked_add(edges[0])?, after.checked_add(edges[1])?);
        window.padding = Padding::Explicit { before, after };
    }
    Some(padded)
}
