//! `Rescaling`, and the scaling layers of Keras's own applications.

use model::{Binary, Builder, Fault, Tensor, Value};

use super::lowering::expect_fitting;
use crate::layers::{Arithmetic, Layer, Operand};
use crate::reader::Reader;

pub(super) fn rescaling(reader: &mut Reader) -> Layer {
    let scale = reader.numbers("scale");
    if scale.is_none() {
        reader.fault("its config has no `scale` of numbers");
    }
    Layer::Rescaling {
        scale: scale.unwrap_or_default(),
        offset: reader.numbers("offset").unwrap_or_else(|| vec![0.0]),
    }
}

/// `input * gamma`, of ConvNeXt.
pub(super) fn layer_scale(reader: &mut Reader) -> Layer {
    let size = reader.size("projection_dim");
    reader.ignore(&["init_values"]);
    // Keras 2 gives this weight no name.
    let gamma = reader.weight(&["gamma", "variable", "Variable"], &[Some(size)]);
    let (left, right) = (Operand::Input(0), Operand::Constant(gamma));
    Layer::Arithmetic(Arithmetic { kind: Binary::Multiply, left, right })
}

/// `first + second * scale`, of InceptionResNetV2.
pub(super) fn scaled_add(reader: &mut Reader) -> Layer {
    Layer::ScaledAdd { scale: reader.number_or("scale", 1.0) }
}

/// Drops whole branches in training only, scaled so that inference needs no counterpart; of ConvNeXt.
pub(super) fn stochastic_depth(reader: &mut Reader) -> Layer {
    reader.ignore(&["drop_path_rate"]);
    Layer::Identity
}

/// `x * scale + offset`.
pub(super) fn rescaled(
    scale: &[f32],
    offset: &[f32],
    builder: &mut Builder,
    x: Value,
) -> Result<Value, Fault> {
    expect_fitting(&[scale.len()], builder, x)?;
    expect_fitting(&[offset.len()], builder, x)?;
    let scaled = builder.with_constant(Binary::Multiply, x, &one_or_many(scale))?;
    if offset.iter().all(|value| *value == 0.0) {
        return Ok(scaled);
    }
    builder.with_constant(Binary::Add, scaled, &one_or_many(offset))
}

fn one_or_many(values: &[f32]) -> Tensor {
    match values {
        [only] => Tensor::scalar(*only),
        many => Tensor::vector(many),
    }
}

/// `first + second * scale`.
pub(super) fn added_scaled(scale: f32, builder: &mut Builder, inputs: &[Value]) -> Result<Value, Fault> {
    let [first, second] = inputs else {
        return Err(Fault(format!("it is called on {} inputs, expected 2", inputs.len())));
    };
    let scaled = builder.with_scalar(Binary::Multiply, *second, scale)?;
    builder.binary(Binary::Add, *first, scaled)
}
