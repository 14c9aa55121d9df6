//! The text of a graph: one line a node.
//!
//! ```text
//! %0 = input() : [batch, 8, 8, 3] // image
//! %1 = convolution(%0, kernel [3, 3, 3, 4], bias [4], strides [2, 2], same) : [batch, 4, 4, 4] // conv
//! %2 = relu(%1) : [batch, 4, 4, 4] // conv
//! outputs %2
//! ```

use std::fmt;

use crate::graph::{Graph, Node, Value};
use crate::op::{Convolution, Op, PadMode, Range, Reduce, Resize, Unary};
use crate::tensor::Tensor;
use crate::window::{Padding, Window};

/// A longer constant is shown by its shape alone.
const MOST_VALUES: usize = 8;

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}", self.index())
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inputs = self.inputs.iter().map(Value::to_string);
        let all: Vec<String> = inputs.chain(settings(&self.op)).collect();
        write!(f, "{}({}) : {}", self.op.name(), all.join(", "), self.shape)?;
        if self.layer.is_empty() { Ok(()) } else { write!(f, " // {}", self.layer) }
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, node) in self.nodes.iter().enumerate() {
            writeln!(f, "%{index} = {node}")?;
        }
        let outputs: Vec<String> = self.outputs.iter().map(Value::to_string).collect();
        writeln!(f, "outputs {}", outputs.join(", "))
    }
}

/// What an operation has besides its inputs. What has its usual value is left out.
fn settings(op: &Op) -> Vec<String> {
    match op {
        Op::Constant(tensor) => vec![values(tensor)],
        Op::Convolution(Convolution { kernel, bias, windows, groups }) => {
            let groups = (*groups != 1).then(|| format!("groups {groups}"));
            weights(kernel, bias.as_ref()).chain(moves(windows)).chain(groups).collect()
        }
        Op::ConvolutionTranspose(by) => {
            weights(&by.kernel, by.bias.as_ref()).chain(moves(&by.windows)).collect()
        }
        Op::MatrixProduct { transposed } => {
            let sides = ["left", "right"].into_iter().zip(transposed).filter(|(_, transposed)| **transposed);
            sides.map(|(side, _)| format!("{side} transposed")).collect()
        }
        Op::Einsum(equation) => vec![equation.to_string()],
        Op::Pool { windows, .. } | Op::Patches { windows } => {
            let size = format!("size {:?}", windows.map(|window| window.size));
            std::iter::once(size).chain(moves(windows)).collect()
        }
        Op::Reduce(Reduce { axes, keeps_axes, .. }) => {
            let kept = keeps_axes.then(|| "kept".to_owned());
            std::iter::once(format!("axes {axes:?}")).chain(kept).collect()
        }
        Op::Unary(Unary::LeakyRelu { slope }) => vec![format!("slope {slope:?}")],
        Op::FullLike { value } => vec![format!("{value:?}")],
        Op::Softmax { axis }
        | Op::LogSoftmax { axis }
        | Op::Sort { axis }
        | Op::CumulativeSum { axis }
        | Op::Concatenate { axis } => vec![format!("axis {axis}")],
        Op::BatchNorm(norm) => {
            let learnt = [("gamma", &norm.gamma), ("beta", &norm.beta)];
            let learnt = learnt.into_iter().filter(|(_, weight)| weight.is_some());
            let axis = format!("axis {}", norm.axis);
            let names = learnt.map(|(name, _)| name.to_owned());
            std::iter::once(axis).chain(names).chain([format!("epsilon {:?}", norm.epsilon)]).collect()
        }
        Op::Transpose { order } => vec![format!("order {order:?}")],
        Op::Slice { ranges } => {
            let ranges: Vec<String> = ranges.iter().copied().map(range).collect();
            vec![format!("[{}]", ranges.join(", "))]
        }
        Op::Pad { edges, mode } => vec![
            format!("edges {edges:?}"),
            match mode {
                PadMode::Constant(value) => format!("{value:?}"),
                PadMode::Reflect => "reflect".to_owned(),
                PadMode::Symmetric => "symmetric".to_owned(),
            },
        ],
        Op::Gather { axis, indices } => {
            let few = indices.len() <= MOST_VALUES;
            let indices = if few { format!("{indices:?}") } else { format!("{} indices", indices.len()) };
            vec![format!("axis {axis}"), indices]
        }
        Op::Resize(Resize { interpolation, antialias, .. }) => {
            let antialias = antialias.then(|| "antialias".to_owned());
            std::iter::once(interpolation.name().to_owned()).chain(antialias).collect()
        }
        Op::SpaceToDepth { block } | Op::DepthToSpace { block } => vec![format!("block {block}")],
        Op::Input { .. }
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select
        | Op::Reshape { .. }
        | Op::Unresolved { .. } => Vec::new(),
    }
}

fn values(tensor: &Tensor) -> String {
    if tensor.values.len() > MOST_VALUES || !tensor.is_read() {
        return "…".to_owned();
    }
    tensor.values.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(", ")
}

fn weights(kernel: &Tensor, bias: Option<&Tensor>) -> impl Iterator<Item = String> {
    let kernel = format!("kernel {:?}", kernel.shape);
    let bias = bias.map(|bias| format!("bias {:?}", bias.shape));
    std::iter::once(kernel).chain(bias)
}

/// How windows move, without their sizes.
fn moves(windows: &[Window; 2]) -> impl Iterator<Item = String> {
    let pair =
        |name: &str, usual: [usize; 2], pair: [usize; 2]| (pair != usual).then(|| format!("{name} {pair:?}"));
    let strides = pair("strides", [1, 1], windows.map(|window| window.stride));
    let dilation = pair("dilation", [1, 1], windows.map(|window| window.dilation));
    let padding = match windows.map(|window| window.padding) {
        [Padding::VALID, Padding::VALID] => None,
        [Padding::Same, Padding::Same] => Some("same".to_owned()),
        paddings => Some(format!("padding [{}]", paddings.map(padding).join(", "))),
    };
    [strides, dilation, padding].into_iter().flatten()
}

fn padding(padding: Padding) -> String {
    match padding {
        Padding::Same => "same".to_owned(),
        Padding::Explicit { before, after } => format!("[{before}, {after}]"),
    }
}

fn range(Range { start, stop, step }: Range) -> String {
    let bound = |bound: Option<i64>| bound.map_or_else(String::new, |bound| bound.to_string());
    let step = if step == 1 { String::new() } else { format!(":{step}") };
    format!("{}:{}{step}", bound(start), bound(stop))
}
