//! What a model's own layers say about how its images were read in training, and about its scores.
//!
//! A model that scales pixel values itself, right behind its input, takes values from 0 to 255. One that does not was given
//! values that something outside of it scaled, which no file tells. Nothing is guessed here.

use crate::layers::{Activation, Conv2d, Dense, Fit, Interpolation, Layer, Part, PoolKind};
use crate::{Model, Node};

mod scaling;

use self::scaling::Scaling;

/// What a model says.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Sizes of its input after the batch, `None` where it takes any.
    pub input: Vec<Option<usize>>,
    /// Height and width to which it stretches an image of any size bilinearly, as `image_dataset_from_directory` does.
    pub stretched_to: Option<[usize; 2]>,
    /// The values that it takes.
    pub pixels: Pixels,
    /// The function that its scores come from.
    pub ending: Ending,
    /// The number of its scores, where the layers say it.
    pub scores: Option<usize>,
}

/// The values that a model takes.
#[derive(Debug, Clone, PartialEq)]
pub enum Pixels {
    /// Red, green and blue from 0 to 255.
    From0To255 {
        /// The layers and operations that scale them, as a sentence has them.
        scaled_by: String,
    },
    /// Those of Teachable Machine, from which the model is.
    TeachableMachine,
    /// The model does not say it.
    Unsaid {
        /// Layers right behind the input that scale other values than 0 to 255.
        scaled_by: Option<String>,
    },
}

/// The function that a model's scores come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Scores that sum to 1.
    Softmax,
    /// Each score from 0 to 1.
    Sigmoid,
    /// Neither; the layer's class.
    Other(String),
}

/// Returns what a model says. Of several outputs, `output` is the one with the scores.
#[must_use]
pub fn of(model: &Model, output: usize) -> Reading {
    let input = match model.nodes.get(model.input).map(|node| &node.layer) {
        Some(Layer::Input { shape }) => shape.clone(),
        Some(_) | None => Vec::new(),
    };
    let Front { scaling, stretched_to } = front(model, input.last().copied().flatten());
    let pixels = match (scaling.told(), scaling.takes_0_to_255()) {
        (Some(scaled_by), true) => Pixels::From0To255 { scaled_by },
        (None, _) if is_of_teachable_machine(model) => Pixels::TeachableMachine,
        (scaled_by, _) => Pixels::Unsaid { scaled_by },
    };
    let end = model.outputs.get(output).copied();
    let scores = end.and_then(|end| model.shapes().ok()?.get(end)?.last()?.known());
    let ending = end.map_or_else(|| Ending::Other("nothing".to_owned()), |end| ending(model, end));
    Reading { input, stretched_to: stretched_to.filter(|_| pixels_are_open(model)), pixels, ending, scores }
}

fn pixels_are_open(model: &Model) -> bool {
    matches!(model.nodes.get(model.input).map(|node| &node.layer),
        Some(Layer::Input { shape }) if shape.len() == 3 && shape[..2].contains(&None))
}

/// The layers right behind the input.
struct Front {
    scaling: Scaling,
    stretched_to: Option<[usize; 2]>,
}

/// Follows the input as long as one layer alone takes it and moves or scales its values.
fn front(model: &Model, channels: Option<usize>) -> Front {
    let mut front = Front { scaling: Scaling::new(channels.unwrap_or(3)), stretched_to: None };
    let mut is_first = true;
    let mut at = model.input;
    loop {
        if let Some(stack) = stacked_backwards(model, at) {
            front.scaling.reversed();
            is_first = false;
            at = stack;
            continue;
        }
        let Some((next, node)) = only_reader(model, at) else { break };
        if let Layer::Resize(resize) = &node.layer {
            let is_plain = resize.fit == Fit::Stretch
                && resize.interpolation == Interpolation::Bilinear
                && !resize.antialias;
            if is_first && is_plain {
                front.stretched_to = Some(resize.size);
            }
            is_first = false;
        } else if !front.scaling.goes_through(&node.layer, &node.class) {
            break;
        } else {
            // Scaling and a bilinear resize commute. A new arrangement of pixels and a resize do not.
            is_first = is_first && front.scaling.keeps_positions();
        }
        at = next;
    }
    front
}

/// The node that stacks the channels of another one in the opposite order: how Keras 3 writes `preprocess_input` of VGG and
/// ResNet, `stack([x[..., 2], x[..., 1], x[..., 0]], axis=-1)`.
fn stacked_backwards(model: &Model, of: usize) -> Option<usize> {
    let readers = |of: usize| {
        let all = model.nodes.iter().enumerate().filter(move |(_, node)| node.inputs.contains(&of));
        all.map(|(index, _)| index).collect::<Vec<_>>()
    };
    let channels = readers(of);
    let [first, _, _] = channels[..] else { return None };
    let [stack] = readers(first)[..] else { return None };
    let Layer::Stack { axis: -1 | 3 } = model.nodes[stack].layer else { return None };
    let is_channel = |(slice, channel): (&usize, i64)| {
        let node = &model.nodes[*slice];
        node.inputs[..] == [of]
            && readers(*slice) == [stack]
            && matches!(&node.layer, Layer::Slice { parts }
                if parts[..] == [Part::WHOLE, Part::WHOLE, Part::At(channel)])
    };
    let stacked = &model.nodes[stack].inputs;
    (stacked.len() == 3 && stacked.iter().zip([2, 1, 0]).all(is_channel)).then_some(stack)
}

/// The node that alone reads another one, and nothing else.
fn only_reader(model: &Model, of: usize) -> Option<(usize, &Node)> {
    let mut readers = model.nodes.iter().enumerate().filter(|(_, node)| node.inputs.contains(&of));
    let (index, node) = readers.next()?;
    (readers.next().is_none() && node.inputs.len() == 1).then_some((index, node))
}

/// Goes back from the output over layers that change no value.
fn ending(model: &Model, end: usize) -> Ending {
    let mut at = end;
    while let Some(node) = model.nodes.get(at) {
        if let Layer::Activation(Activation::Linear)
        | Layer::Identity
        | Layer::Flatten
        | Layer::Reshape { .. } = &node.layer
        {
            // It changes no value.
        } else if let Layer::SoftmaxOver { .. } = &node.layer {
            return Ending::Softmax;
        } else if let Layer::Activation(function)
        | Layer::Dense(Dense { activation: function, .. })
        | Layer::Conv2d(Conv2d { activation: function, .. }) = &node.layer
        {
            return of_function(function, &node.class);
        } else {
            return Ending::Other(node.class.clone());
        }
        let [before] = node.inputs[..] else { return Ending::Other(node.class.clone()) };
        at = before;
    }
    Ending::Other("nothing".to_owned())
}

fn of_function(function: &Activation, class: &str) -> Ending {
    if matches!(function, Activation::Softmax { .. }) {
        Ending::Softmax
    } else if *function == Activation::Sigmoid {
        Ending::Sigmoid
    } else {
        Ending::Other(class.to_owned())
    }
}

/// Returns whether Teachable Machine made the model: a truncated MobileNet and what was trained on top of it, a `Sequential`
/// each, in a `Sequential`.
///
/// Source: `libraries/image/src/custom-mobilenet.ts` and `teachable-mobilenet.ts` of
/// <https://github.com/googlecreativelab/teachablemachine-community>.
fn is_of_teachable_machine(model: &Model) -> bool {
    let is_input = matches!(model.nodes.get(model.input).map(|node| &node.layer),
        Some(Layer::Input { shape }) if shape[..] == [Some(224), Some(224), Some(3)]);
    let is_nested = model.summary.len() == 2 && model.summary.iter().all(|row| row.class == "Sequential");
    let [output] = model.outputs[..] else { return false };
    let mut back = Backwards { model, at: Some(output) };
    let is_head = back.next().is_some_and(|node| {
        matches!(&node.layer, Layer::Dense(dense)
            if dense.bias.is_none() && matches!(dense.activation, Activation::Softmax { .. }))
    }) && back.next().is_some_and(|node| {
        matches!(&node.layer, Layer::Dense(dense) if dense.bias.is_some() && dense.activation == Activation::RELU)
    });
    let pooled = back.next().map(|node| &node.layer);
    let truncated_at = back.next().and_then(|node| node.name.rsplit('/').next());
    let is_truncated = match (pooled, truncated_at) {
        (Some(Layer::GlobalPool2d { kind: PoolKind::Average, .. }), Some(name)) => name == "out_relu",
        (Some(Layer::Flatten), Some(name)) => name == "conv_pw_13_relu",
        _ => false,
    };
    is_input && is_nested && is_head && is_truncated
}

/// The nodes before one, as long as each has one input; without those that do nothing.
struct Backwards<'a> {
    model: &'a Model,
    at: Option<usize>,
}

impl<'a> Iterator for Backwards<'a> {
    type Item = &'a Node;

    fn next(&mut self) -> Option<&'a Node> {
        loop {
            let node = self.model.nodes.get(self.at?)?;
            self.at = match node.inputs[..] {
                [before] => Some(before),
                _ => None,
            };
            if !matches!(node.layer, Layer::Identity) {
                return Some(node);
            }
        }
    }
}
