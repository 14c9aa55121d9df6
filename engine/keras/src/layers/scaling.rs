//! `Rescaling`, and the scaling layers of Keras's own applications.

use crate::layers::{Arithmetic, ArithmeticKind, Layer, Operand};
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
    Layer::Arithmetic(Arithmetic { kind: ArithmeticKind::Multiply, left, right })
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
