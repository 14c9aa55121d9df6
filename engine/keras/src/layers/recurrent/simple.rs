//! `SimpleRNN`.

use model::{Binary, Builder, Fault, Tensor, Value};

use super::{Cell, Recurrent, Settings, function, recur, settings};
use crate::layers::{Activation, Layer};
use crate::reader::Reader;

/// `activation(x + state * recurrent)`, where `x` is the projected position.
#[derive(Debug)]
struct Simple {
    /// `[units, units]`.
    recurrent: Tensor,
    activation: Activation,
}

impl Cell for Simple {
    const STATES: usize = 1;

    fn step(&self, builder: &mut Builder, x: Value, states: &[Value]) -> Result<Vec<Value>, Fault> {
        let recurrent = recur(builder, states[0], &self.recurrent)?;
        let sum = builder.binary(Binary::Add, x, recurrent)?;
        Ok(vec![self.activation.lower(builder, sum)?])
    }
}

pub(in crate::layers) fn simple_rnn(reader: &mut Reader) -> Layer {
    let settings = settings(reader);
    let Settings { units, has_bias, .. } = settings;
    let activation = function(reader, "activation");
    let channels = reader.channels();
    reader.within("simple_rnn_cell", &["cell"], |reader| {
        let kernel = reader.weight(&["kernel"], &[channels, Some(units)]);
        let recurrent = reader.weight(&["recurrent_kernel"], &[Some(units); 2]);
        let bias = has_bias.then(|| reader.weight(&["bias"], &[Some(units)]));
        Layer::own(Recurrent { cell: Simple { recurrent, activation }, kernel, bias, settings })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::lowered::{check, fault};
    use crate::layers::lowering::Lower;

    fn rnn(returns_sequence: bool, goes_backwards: bool) -> Recurrent<Simple> {
        let cell = Simple { recurrent: Tensor::new(&[2, 2], [0.5; 4]), activation: Activation::Tanh };
        let settings = Settings { units: 2, returns_sequence, goes_backwards, has_bias: true };
        let kernel = Tensor::new(&[3, 2], [0.5; 6]);
        Recurrent { cell, kernel, bias: Some(Tensor::vector([1.0, 2.0])), settings }
    }

    #[test]
    fn positions_are_projected_at_once_and_computed_one_after_the_other() {
        check(
            &["2, 3"],
            |builder, inputs| rnn(true, true).lower(builder, inputs),
            "
            %0 = input() : [batch, 2, 3]
            %1 = constant(0.5, 0.5, 0.5, 0.5, 0.5, 0.5) : [3, 2]
            %2 = matrix_product(%0, %1) : [batch, 2, 2]
            %3 = constant(1.0, 2.0) : [2]
            %4 = add(%2, %3) : [batch, 2, 2]
            %5 = slice(%4, [:, 0:1, :]) : [batch, 1, 2]
            %6 = reshape(%5) : [batch, 2]
            %7 = full_like(%6, 0.0) : [batch, 2]
            %8 = slice(%4, [:, 1:2, :]) : [batch, 1, 2]
            %9 = reshape(%8) : [batch, 2]
            %10 = constant(0.5, 0.5, 0.5, 0.5) : [2, 2]
            %11 = matrix_product(%7, %10) : [batch, 2]
            %12 = add(%9, %11) : [batch, 2]
            %13 = tanh(%12) : [batch, 2]
            %14 = slice(%4, [:, 0:1, :]) : [batch, 1, 2]
            %15 = reshape(%14) : [batch, 2]
            %16 = matrix_product(%13, %10) : [batch, 2]
            %17 = add(%15, %16) : [batch, 2]
            %18 = tanh(%17) : [batch, 2]
            %19 = reshape(%13) : [batch, 1, 2]
            %20 = reshape(%18) : [batch, 1, 2]
            %21 = concatenate(%19, %20, axis 1) : [batch, 2, 2]
            outputs %21
            ",
        );
    }

    #[test]
    fn a_sequence_of_open_length_waits_for_the_image() {
        let check = |returns_sequence, expected: &str| {
            check(
                &["?, 3"],
                |builder, inputs| rnn(returns_sequence, false).lower(builder, inputs),
                &format!("%0 = input() : [batch, ?, 3]\n%1 = unresolved(%0) : {expected}\noutputs %1"),
            );
        };
        check(true, "[batch, ?, 2]");
        check(false, "[batch, 2]");
    }

    #[test]
    fn what_is_no_sequence_of_these_channels_is_a_fault() {
        let check = |inputs: &[&str], expected: &str| {
            assert_eq!(fault(inputs, |builder, inputs| rnn(false, false).lower(builder, inputs)), expected);
        };
        check(&["3"], "its input has shape [3], expected [sequence, channels]");
        check(&["4, 2"], "its input has shape [4, 2], expected 3 on the last axis");
        check(&["1025, 3"], "its input has shape [1025, 3], expected a sequence of at most 1024");
        check(&["4, 3", "2"], "it is called on 2 inputs, expected 1");
    }
}
