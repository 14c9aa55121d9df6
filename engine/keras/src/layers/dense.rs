//! `Dense`.

use model::{Builder, Fault, Value};

use super::lowering::expect_channels;
use crate::Tensor;
use crate::layers::{Activation, Layer};
use crate::reader::Reader;

/// [`Layer::Dense`].
#[derive(Debug, Clone)]
pub struct Dense {
    /// `[inputs, units]`.
    pub kernel: Tensor,
    /// `[units]`.
    pub bias: Option<Tensor>,
    /// Applied to the result.
    pub activation: Activation,
}

pub(super) fn dense(reader: &mut Reader) -> Layer {
    let units = reader.size("units");
    let inputs = reader.channels();
    // Only quantized layers have it, whose `dtype` shows that as well.
    reader.ignore(&["quantization_config"]);
    // Written by Keras 1 and early 2 beside the shape of the input.
    reader.ignore(&["input_dim"]);
    Layer::Dense(Dense {
        kernel: reader.weight(&["kernel"], &[inputs, Some(units)]),
        bias: reader.flag_or("use_bias", true).then(|| reader.weight(&["bias"], &[Some(units)])),
        activation: reader.activation(),
    })
}

impl Dense {
    pub(super) fn lower(&self, builder: &mut Builder, x: Value) -> Result<Value, Fault> {
        if let Some(inputs) = self.kernel.shape.first() {
            expect_channels(*inputs, builder, x)?;
        }
        let kernel = builder.constant(&self.kernel)?;
        let product = builder.matrix_product(x, kernel)?;
        let biased = builder.biased(product, self.bias.as_ref())?;
        self.activation.lower(builder, biased)
    }
}
