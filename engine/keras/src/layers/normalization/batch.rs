//! `BatchNormalization`.

use model::{Builder, Fault, Value};

use super::size_of_axis;
use crate::Tensor;
use crate::layers::Layer;
use crate::layers::lowering::axis_of;
use crate::reader::Reader;

/// [`Layer::BatchNorm`]: `gamma * (input - mean) / sqrt(variance + epsilon) + beta`.
#[derive(Debug, Clone)]
pub struct BatchNorm {
    /// The axis that is normalized, counted with the batch; may be negative.
    pub axis: i64,
    /// Learnt scale, `[size of axis]`.
    pub gamma: Option<Tensor>,
    /// Learnt offset, `[size of axis]`.
    pub beta: Option<Tensor>,
    /// Moving mean, `[size of axis]`.
    pub mean: Tensor,
    /// Moving variance, `[size of axis]`.
    pub variance: Tensor,
    /// Added to the variance.
    pub epsilon: f32,
}

pub(in crate::layers) fn batch_normalization(reader: &mut Reader) -> Layer {
    // How training computes the statistics does not matter for inference. Renormalization adds weights.
    reader.ignore(&["momentum", "synchronized", "renorm_clipping", "renorm_momentum", "fused"]);
    reader.unset("renorm");
    reader.unset("virtual_batch_size");
    let axis = match reader.integers("axis").as_deref() {
        None => -1,
        Some([axis]) => *axis,
        Some(axes) => {
            reader.fault(format!("`axis` is {axes:?}, expected one axis"));
            -1
        }
    };
    let size = size_of_axis(reader, axis);
    let scaled = reader.flag_or("scale", true);
    let centered = reader.flag_or("center", true);
    Layer::BatchNorm(BatchNorm {
        axis,
        gamma: scaled.then(|| reader.weight(&["gamma"], &[size])),
        beta: centered.then(|| reader.weight(&["beta"], &[size])),
        mean: reader.statistic(&["moving_mean"], &[size]),
        variance: reader.statistic(&["moving_variance"], &[size]),
        epsilon: reader.number_or("epsilon", 1e-3),
    })
}

impl BatchNorm {
    pub(in crate::layers) fn lower(&self, builder: &mut Builder, x: Value) -> Result<Value, Fault> {
        let axis = axis_of(self.axis, builder, x)?;
        let shape = builder.shape(x);
        let expected = self.mean.shape.first().copied().unwrap_or(1);
        if shape[axis].known().is_some_and(|size| size != expected) {
            return Err(Fault(format!(
                "its input has shape {}, expected {expected} on axis {}",
                shape.described(),
                self.axis
            )));
        }
        let norm = model::BatchNorm {
            axis,
            gamma: self.gamma.clone(),
            beta: self.beta.clone(),
            mean: self.mean.clone(),
            variance: self.variance.clone(),
            epsilon: self.epsilon,
        };
        builder.batch_norm(x, norm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::lowered::fault;

    #[test]
    fn another_number_of_elements_is_a_fault_that_names_the_axis_as_keras_does() {
        let vector = Tensor::vector([0.5; 3]);
        let of = |axis| BatchNorm {
            axis,
            gamma: None,
            beta: None,
            mean: vector.clone(),
            variance: vector.clone(),
            epsilon: 0.001,
        };
        let fault = |axis| fault(&["4, 5"], |builder, inputs| of(axis).lower(builder, inputs[0]));
        assert_eq!(fault(-1), "its input has shape [4, 5], expected 3 on axis -1");
        assert_eq!(fault(1), "its input has shape [4, 5], expected 3 on axis 1");
        assert_eq!(fault(0), "`axis` is 0, expected an axis of its input, [4, 5] after the batch");
    }
}
