//! Fuses a convolution with the layers that follow it. The fused model computes the same values in fewer operations.
//!
//! At inference a batch normalization is a scale and an offset per channel. They are folded into the kernel and the bias of
//! the convolution before it. A ReLU becomes the activation of the convolution. A sum of a convolution and another value is
//! added by the convolution. Nothing is fused where another layer reads the value between.

use std::sync::Arc;

use keras::layers::{Activation, BatchNorm, Layer, MergeKind};
use keras::{Model, Tensor};

/// Fuses batch normalizations and ReLUs into the convolutions before them, and convolutions into the sums after them,
/// which become [`Layer::Conv2dAdd`]. Each layer that was fused into another becomes [`Layer::Identity`].
pub(super) fn fuse(mut model: Model) -> Model {
    let mut readers = vec![0_usize; model.nodes.len()];
    for read in model.nodes.iter().flat_map(|node| &node.inputs).chain(&model.outputs) {
        if let Some(count) = readers.get_mut(*read) {
            *count += 1;
        }
    }
    for index in 0..model.nodes.len() {
        if matches!(model.nodes[index].layer, Layer::Merge(MergeKind::Add)) {
            fuse_sum(&mut model, &mut readers, index);
            continue;
        }
        let [input] = model.nodes[index].inputs[..] else { continue };
        let Some(before) = only_source(&model, &readers, input) else { continue };
        let layer = std::mem::replace(&mut model.nodes[index].layer, Layer::Identity);
        if !fuse_into(&mut model.nodes[before].layer, &layer) {
            model.nodes[index].layer = layer;
        }
    }
    model
}

/// Fuses the sum at `index` with the convolution that computes one of its two inputs.
fn fuse_sum(model: &mut Model, readers: &mut [usize], index: usize) {
    let [first, second] = model.nodes[index].inputs[..] else { return };
    for (input, addend) in [(second, first), (first, second)] {
        let Some(source) = only_source(model, readers, input) else { continue };
        if let Layer::Conv2d(convolution) = &model.nodes[source].layer
            && convolution.activation == Activation::Linear
            && let [image] = model.nodes[source].inputs[..]
        {
            let layer = Layer::Conv2dAdd(convolution.clone());
            model.nodes[source].layer = Layer::Identity;
            model.nodes[index].layer = layer;
            model.nodes[index].inputs = vec![image, addend];
            readers[image] += 1;
            return;
        }
    }
}

/// The node that computes `source`, if only one node reads it. Follows nodes that only pass a value on.
fn only_source(model: &Model, readers: &[usize], mut source: usize) -> Option<usize> {
    loop {
        if *readers.get(source)? != 1 {
            return None;
        }
        let node = model.nodes.get(source)?;
        match (&node.layer, &node.inputs[..]) {
            (Layer::Identity, [next]) => source = *next,
            _ => return Some(source),
        }
    }
}

/// Fuses a layer into the convolution before it. Returns whether it did.
fn fuse_into(convolution: &mut Layer, layer: &Layer) -> bool {
    if let Layer::Conv2dAdd(sum) = convolution {
        let plain = sum.activation == Activation::Linear
            && matches!(layer, Layer::Activation(function) if *function == Activation::RELU);
        if plain {
            sum.activation = Activation::RELU;
        }
        return plain;
    }
    let Some(fusible) = Fusible::of(convolution) else { return false };
    if *fusible.activation != Activation::Linear {
        return false;
    }
    if let Layer::Activation(function) = layer
        && fusible_relu(*function).is_some()
    {
        *fusible.activation = *function;
        return true;
    }
    if let Layer::BatchNorm(norm) = layer
        && [-1, 3].contains(&norm.axis)
    {
        return fusible.fold_batch_norm(norm);
    }
    false
}

/// TensorFlow's name of a ReLU that a fused convolution can apply.
pub(super) fn fusible_relu(function: Activation) -> Option<&'static str> {
    const RELU6: Activation = Activation::Relu { max_value: Some(6.0), negative_slope: 0.0, threshold: 0.0 };
    if function == Activation::RELU { Some("Relu") } else { (function == RELU6).then_some("Relu6") }
}

/// The parts of a convolution that apply to each output channel.
struct Fusible<'a> {
    kernel: &'a mut Tensor,
    /// How many of the kernel's last axes make up the output channels.
    axes: usize,
    bias: &'a mut Option<Tensor>,
    activation: &'a mut Activation,
}

impl<'a> Fusible<'a> {
    fn of(layer: &'a mut Layer) -> Option<Self> {
        if let Layer::Conv2d(conv) = layer {
            let (kernel, bias, activation) = (&mut conv.kernel, &mut conv.bias, &mut conv.activation);
            Some(Self { kernel, axes: 1, bias, activation })
        } else if let Layer::DepthwiseConv2d(conv) = layer {
            let (kernel, bias, activation) = (&mut conv.kernel, &mut conv.bias, &mut conv.activation);
            Some(Self { kernel, axes: 2, bias, activation })
        } else if let Layer::SeparableConv2d(conv) = layer {
            let (kernel, bias, activation) = (&mut conv.pointwise, &mut conv.bias, &mut conv.activation);
            Some(Self { kernel, axes: 1, bias, activation })
        } else {
            None
        }
    }

    /// Folds a batch normalization into kernel and bias, unless its weights do not fit. It computes in double precision and
    /// rounds once, so that the new weights are as exact as float32 allows.
    fn fold_batch_norm(self, norm: &BatchNorm) -> bool {
        let channels = self.kernel.shape.iter().rev().take(self.axes).product();
        let Some(affine) = affine(norm, self.bias.as_ref(), channels) else { return false };
        let scaled = |(index, value): (usize, &f32)| (f64::from(*value) * affine[index % channels].0) as f32;
        self.kernel.values = self.kernel.values.iter().enumerate().map(scaled).collect();
        let values: Arc<[f32]> = affine.iter().map(|(_, offset)| *offset as f32).collect();
        *self.bias = Some(Tensor { shape: vec![channels], values });
        true
    }
}

/// Scale and offset of each channel after a convolution with this bias.
fn affine(norm: &BatchNorm, bias: Option<&Tensor>, channels: usize) -> Option<Vec<(f64, f64)>> {
    let value = |tensor: Option<&Tensor>, index: usize, default: f64| match tensor {
        Some(tensor) => tensor.values.get(index).map(|value| f64::from(*value)),
        None => Some(default),
    };
    if norm.mean.values.len() != channels {
        return None;
    }
    let channel = |index| {
        let deviation = (value(Some(&norm.variance), index, 1.0)? + f64::from(norm.epsilon)).sqrt();
        let scale = value(norm.gamma.as_ref(), index, 1.0)? / deviation;
        let centred = value(bias, index, 0.0)? - value(Some(&norm.mean), index, 0.0)?;
        Some((scale, value(norm.beta.as_ref(), index, 0.0)? + centred * scale))
    };
    (0..channels).map(channel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use keras::Node;
    use keras::layers::{Conv2d, Padding};

    fn tensor(shape: &[usize], value: f32) -> Tensor {
        Tensor { shape: shape.to_vec(), values: Arc::from([value]) }
    }

    /// Input, convolution, batch normalization, ReLU. `outputs` are the nodes that the model also gives.
    fn model(outputs: &[usize]) -> Model {
        let convolution = Conv2d {
            kernel: tensor(&[1; 4], 2.0),
            bias: Some(tensor(&[1], 5.0)),
            strides: [1, 1],
            dilation: [1, 1],
            padding: Padding::Valid,
            groups: 1,
            activation: Activation::Linear,
        };
        let norm = BatchNorm {
            axis: -1,
            gamma: Some(tensor(&[1], 3.0)),
            beta: Some(tensor(&[1], 0.5)),
            mean: tensor(&[1], 1.0),
            variance: tensor(&[1], 4.0),
            epsilon: 0.0,
        };
        let layers = [
            Layer::Input { shape: vec![Some(1); 3] },
            Layer::Conv2d(convolution),
            Layer::BatchNorm(norm),
            Layer::Activation(Activation::RELU),
        ];
        let node = |(index, layer): (usize, Layer)| Node {
            name: index.to_string(),
            class: String::new(),
            layer,
            inputs: index.checked_sub(1).into_iter().collect(),
        };
        let nodes = layers.into_iter().enumerate().map(node).collect();
        Model {
            name: String::new(),
            nodes,
            input: 0,
            outputs: outputs.to_vec(),
            output_names: Vec::new(),
            summary: Vec::new(),
        }
    }

    #[test]
    fn a_normalization_and_a_relu_are_fused_into_the_convolution_before_them() {
        let fused = fuse(model(&[3]));
        let [_, Layer::Conv2d(convolution), Layer::Identity, Layer::Identity] =
            [0, 1, 2, 3].map(|index| fused.nodes[index].layer.clone())
        else {
            panic!("{:?}", fused.nodes)
        };
        // gamma / sqrt(variance) = 3 / 2
        assert_eq!(*convolution.kernel.values, [2.0 * 1.5]);
        assert_eq!(*convolution.bias.unwrap().values, [(5.0 - 1.0) * 1.5 + 0.5]);
        assert_eq!(convolution.activation, Activation::RELU);
    }

    /// The model above with a sum of two nodes before the ReLU.
    fn with_a_sum(inputs: [usize; 2], outputs: &[usize]) -> Model {
        let mut model = model(outputs);
        let mut relu = model.nodes[3].clone();
        model.nodes[3].layer = Layer::Merge(MergeKind::Add);
        model.nodes[3].inputs = inputs.to_vec();
        relu.inputs = vec![3];
        model.nodes.push(relu);
        model
    }

    #[test]
    fn a_sum_is_fused_with_the_convolution_before_it_and_the_relu_after_it() {
        for inputs in [[0, 2], [2, 0]] {
            let fused = fuse(with_a_sum(inputs, &[4]));
            let Layer::Conv2dAdd(convolution) = &fused.nodes[3].layer else { panic!("{:?}", fused.nodes) };
            assert_eq!(*convolution.kernel.values, [2.0 * 1.5]);
            assert_eq!(convolution.activation, Activation::RELU);
            assert_eq!(fused.nodes[3].inputs, [0, 0], "the convolution's image, then what is added");
            assert!([1, 2, 4].iter().all(|index| matches!(fused.nodes[*index].layer, Layer::Identity)));
        }
    }

    #[test]
    fn a_sum_leaves_a_convolution_alone_that_is_read_elsewhere_or_twice() {
        for (inputs, outputs) in [([0, 2], [4, 2]), ([2, 2], [4, 4])] {
            let fused = fuse(with_a_sum(inputs, &outputs));
            assert!(matches!(fused.nodes[3].layer, Layer::Merge(MergeKind::Add)), "{inputs:?}");
        }
    }

    #[test]
    fn what_somebody_else_reads_stays_as_it_is() {
        let convolution_is_read = fuse(model(&[3, 1]));
        assert!(matches!(convolution_is_read.nodes[2].layer, Layer::BatchNorm(_)));
        assert!(matches!(convolution_is_read.nodes[3].layer, Layer::Activation(_)));
        let normalization_is_read = fuse(model(&[3, 2]));
        assert!(matches!(normalization_is_read.nodes[2].layer, Layer::Identity));
        assert!(matches!(normalization_is_read.nodes[3].layer, Layer::Activation(_)));
    }
}
