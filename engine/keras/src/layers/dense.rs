//! `Dense`.

use crate::layers::{Dense, Layer};
use crate::reader::Reader;

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
