//! `LSTM`.

use model::{Binary, Builder, Fault, Tensor, Value};

use super::{Cell, Recurrent, Settings, function, part, recur, settings};
use crate::layers::{Activation, Layer};
use crate::reader::Reader;

/// Long short-term memory (Hochreiter and Schmidhuber 1997), with a forget gate. Of the projected position the quarters are
/// for the input gate, the forget gate, the candidate and the output gate.
#[derive(Debug)]
struct Lstm {
    /// `[units, 4 * units]`.
    recurrent: Tensor,
    /// `[4 * units]`.
    bias: Option<Tensor>,
    units: usize,
    /// Of the candidate and the output.
    activation: Activation,
    /// Of the gates.
    recurrent_activation: Activation,
}

impl Cell for Lstm {
    /// The output, and the carry.
    const STATES: usize = 2;

    fn step(&self, builder: &mut Builder, x: Value, states: &[Value]) -> Result<Vec<Value>, Fault> {
        let recurrent = recur(builder, states[0], &self.recurrent)?;
        let sum = builder.binary(Binary::Add, x, recurrent)?;
        let sum = builder.biased(sum, self.bias.as_ref())?;
        let of = |builder: &mut Builder, index: usize, function: Activation| {
            let quarter = part(builder, sum, index, self.units)?;
            function.lower(builder, quarter)
        };
        let input = of(builder, 0, self.recurrent_activation)?;
        let forget = of(builder, 1, self.recurrent_activation)?;
        let candidate = of(builder, 2, self.activation)?;
        let output = of(builder, 3, self.recurrent_activation)?;

        let kept = builder.binary(Binary::Multiply, forget, states[1])?;
        let new = builder.binary(Binary::Multiply, input, candidate)?;
        let carry = builder.binary(Binary::Add, kept, new)?;
        let shown = self.activation.lower(builder, carry)?;
        Ok(vec![builder.binary(Binary::Multiply, output, shown)?, carry])
    }
}

pub(in crate::layers) fn lstm(reader: &mut Reader) -> Layer {
    let settings = settings(reader);
    let Settings { units, has_bias, .. } = settings;
    // How the bias begins.
    reader.ignore(&["unit_forget_bias"]);
    let activation = function(reader, "activation");
    let recurrent_activation = function(reader, "recurrent_activation");
    let channels = reader.channels();
    let wide = units.saturating_mul(4);
    reader.within("lstm_cell", &["cell"], |reader| {
        let kernel = reader.weight(&["kernel"], &[channels, Some(wide)]);
        let recurrent = reader.weight(&["recurrent_kernel"], &[Some(units), Some(wide)]);
        let bias = has_bias.then(|| reader.weight(&["bias"], &[Some(wide)]));
        let cell = Lstm { recurrent, bias, units, activation, recurrent_activation };
        Layer::own(Recurrent { cell, kernel, bias: None, settings })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::lowered::check;
    use crate::layers::lowering::Lower;

    #[test]
    fn the_carry_goes_past_the_output() {
        let cell = Lstm {
            recurrent: Tensor::new(&[1, 4], [0.1, 0.2, 0.3, 0.4]),
            bias: Some(Tensor::vector([1.0, 2.0, 3.0, 4.0])),
            units: 1,
            activation: Activation::Tanh,
            recurrent_activation: Activation::Sigmoid,
        };
        let settings = Settings { units: 1, returns_sequence: false, goes_backwards: false, has_bias: true };
        let lstm = Recurrent { cell, kernel: Tensor::new(&[1, 4], [0.5; 4]), bias: None, settings };
        check(
            &["1, 1"],
            |builder, inputs| lstm.lower(builder, inputs),
            "
            %0 = input() : [batch, 1, 1]
            %1 = constant(0.5, 0.5, 0.5, 0.5) : [1, 4]
            %2 = matrix_product(%0, %1) : [batch, 1, 4]
            %3 = slice(%2, [:, :, 0:1]) : [batch, 1, 1]
            %4 = reshape(%3) : [batch, 1]
            %5 = full_like(%4, 0.0) : [batch, 1]
            %6 = reshape(%2) : [batch, 4]
            %7 = constant(0.1, 0.2, 0.3, 0.4) : [1, 4]
            %8 = matrix_product(%5, %7) : [batch, 4]
            %9 = add(%6, %8) : [batch, 4]
            %10 = constant(1.0, 2.0, 3.0, 4.0) : [4]
            %11 = add(%9, %10) : [batch, 4]
            %12 = slice(%11, [:, 0:1]) : [batch, 1]
            %13 = sigmoid(%12) : [batch, 1]
            %14 = slice(%11, [:, 1:2]) : [batch, 1]
            %15 = sigmoid(%14) : [batch, 1]
            %16 = slice(%11, [:, 2:3]) : [batch, 1]
            %17 = tanh(%16) : [batch, 1]
            %18 = slice(%11, [:, 3:4]) : [batch, 1]
            %19 = sigmoid(%18) : [batch, 1]
            %20 = multiply(%15, %5) : [batch, 1]
            %21 = multiply(%13, %17) : [batch, 1]
            %22 = add(%20, %21) : [batch, 1]
            %23 = tanh(%22) : [batch, 1]
            %24 = multiply(%19, %23) : [batch, 1]
            outputs %24
            ",
        );
    }
}
