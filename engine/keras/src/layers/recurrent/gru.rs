//! `GRU`.

use model::{Binary, Builder, Fault, Tensor, Value};

use super::{Cell, Recurrent, Settings, function, part, recur, settings};
use crate::layers::{Activation, Layer};
use crate::reader::Reader;

/// `z * state + (1 - z) * candidate` (Cho et al. 2014). Of the projected position the first third is for the update gate `z`,
/// the second for the reset gate, the last for the candidate.
#[derive(Debug)]
struct Gru {
    recurrent: Reset,
    units: usize,
    /// Of the candidate.
    activation: Activation,
    /// Of the gates.
    recurrent_activation: Activation,
}

/// Where the reset gate multiplies.
#[derive(Debug)]
enum Reset {
    /// The state, before the product of the candidate.
    Before {
        /// `[units, 2 * units]`.
        gates: Tensor,
        /// `[units, units]`.
        candidate: Tensor,
    },
    /// The product of the candidate, with its bias.
    After {
        /// `[units, 3 * units]`.
        kernel: Tensor,
        /// `[3 * units]`.
        bias: Option<Tensor>,
    },
}

impl Cell for Gru {
    const STATES: usize = 1;

    fn step(&self, builder: &mut Builder, x: Value, states: &[Value]) -> Result<Vec<Value>, Fault> {
        let (units, state) = (self.units, states[0]);
        let product = match &self.recurrent {
            Reset::Before { gates, .. } => recur(builder, state, gates)?,
            Reset::After { kernel, bias } => {
                let product = recur(builder, state, kernel)?;
                builder.biased(product, bias.as_ref())?
            }
        };
        let update = self.gate(builder, x, product, 0)?;
        let reset = self.gate(builder, x, product, 1)?;
        let memory = match &self.recurrent {
            Reset::Before { candidate, .. } => {
                let kept = builder.binary(Binary::Multiply, reset, state)?;
                recur(builder, kept, candidate)?
            }
            Reset::After { .. } => {
                let product = part(builder, product, 2, units)?;
                builder.binary(Binary::Multiply, reset, product)?
            }
        };
        let x = part(builder, x, 2, units)?;
        let sum = builder.binary(Binary::Add, x, memory)?;
        let candidate = self.activation.lower(builder, sum)?;

        let kept = builder.binary(Binary::Multiply, update, state)?;
        let one = builder.scalar(1.0)?;
        let rest = builder.binary(Binary::Subtract, one, update)?;
        let new = builder.binary(Binary::Multiply, rest, candidate)?;
        Ok(vec![builder.binary(Binary::Add, kept, new)?])
    }
}

impl Gru {
    fn gate(&self, builder: &mut Builder, x: Value, product: Value, index: usize) -> Result<Value, Fault> {
        let x = part(builder, x, index, self.units)?;
        let product = part(builder, product, index, self.units)?;
        let sum = builder.binary(Binary::Add, x, product)?;
        self.recurrent_activation.lower(builder, sum)
    }
}

pub(in crate::layers) fn gru(reader: &mut Reader) -> Layer {
    let settings = settings(reader);
    let Settings { units, has_bias, .. } = settings;
    let activation = function(reader, "activation");
    let recurrent_activation = function(reader, "recurrent_activation");
    let resets_after = reader.flag_or("reset_after", true);
    let channels = reader.channels();
    let wide = units.saturating_mul(3);
    reader.within("gru_cell", &["cell"], |reader| {
        let kernel = reader.weight(&["kernel"], &[channels, Some(wide)]);
        let recurrent = reader.weight(&["recurrent_kernel"], &[Some(units), Some(wide)]);
        let both = [Some(2), Some(wide)];
        let shape = if resets_after { &both[..] } else { &both[1..] };
        let bias = has_bias.then(|| reader.weight(&["bias"], shape));
        let (bias, recurrent) = if resets_after {
            let row = |index: usize| {
                let row = |bias: &Tensor| {
                    let values = bias.values.chunks(wide).nth(index).unwrap_or_default();
                    Tensor::new(&[wide], values)
                };
                bias.as_ref().map(row)
            };
            (row(0), Reset::After { kernel: recurrent, bias: row(1) })
        } else {
            let gates = columns(&recurrent, 0..2 * units);
            (bias, Reset::Before { gates, candidate: columns(&recurrent, 2 * units..wide) })
        };
        let cell = Gru { recurrent, units, activation, recurrent_activation };
        Layer::own(Recurrent { cell, kernel, bias, settings })
    })
}

/// Some columns of a matrix, which may have no values yet.
fn columns(matrix: &Tensor, range: std::ops::Range<usize>) -> Tensor {
    let width = matrix.shape.last().copied().unwrap_or_default().max(1);
    let rows = matrix.values.chunks(width);
    let values: Vec<f32> = rows.flat_map(|row| row.get(range.clone()).unwrap_or_default()).copied().collect();
    let rows = matrix.shape.first().copied().unwrap_or_default();
    Tensor::new(&[rows, range.len()], values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::lowered::check;
    use crate::layers::lowering::Lower;

    fn gru(recurrent: Reset) -> Recurrent<Gru> {
        let (activation, recurrent_activation) = (Activation::Tanh, Activation::Sigmoid);
        let settings = Settings { units: 1, returns_sequence: false, goes_backwards: false, has_bias: true };
        Recurrent {
            cell: Gru { recurrent, units: 1, activation, recurrent_activation },
            kernel: Tensor::new(&[2, 3], [0.5; 6]),
            bias: Some(Tensor::vector([1.0, 2.0, 3.0])),
            settings,
        }
    }

    #[test]
    fn a_reset_behind_the_product_multiplies_it_with_its_bias() {
        let kernel = Tensor::new(&[1, 3], [0.1, 0.2, 0.3]);
        let gru = gru(Reset::After { kernel, bias: Some(Tensor::vector([4.0, 5.0, 6.0])) });
        check(
            &["1, 2"],
            |builder, inputs| gru.lower(builder, inputs),
            "
            %0 = input() : [batch, 1, 2]
            %1 = constant(0.5, 0.5, 0.5, 0.5, 0.5, 0.5) : [2, 3]
            %2 = matrix_product(%0, %1) : [batch, 1, 3]
            %3 = constant(1.0, 2.0, 3.0) : [3]
            %4 = add(%2, %3) : [batch, 1, 3]
            %5 = slice(%4, [:, :, 0:1]) : [batch, 1, 1]
            %6 = reshape(%5) : [batch, 1]
            %7 = full_like(%6, 0.0) : [batch, 1]
            %8 = reshape(%4) : [batch, 3]
            %9 = constant(0.1, 0.2, 0.3) : [1, 3]
            %10 = matrix_product(%7, %9) : [batch, 3]
            %11 = constant(4.0, 5.0, 6.0) : [3]
            %12 = add(%10, %11) : [batch, 3]
            %13 = slice(%8, [:, 0:1]) : [batch, 1]
            %14 = slice(%12, [:, 0:1]) : [batch, 1]
            %15 = add(%13, %14) : [batch, 1]
            %16 = sigmoid(%15) : [batch, 1]
            %17 = slice(%8, [:, 1:2]) : [batch, 1]
            %18 = slice(%12, [:, 1:2]) : [batch, 1]
            %19 = add(%17, %18) : [batch, 1]
            %20 = sigmoid(%19) : [batch, 1]
            %21 = slice(%12, [:, 2:3]) : [batch, 1]
            %22 = multiply(%20, %21) : [batch, 1]
            %23 = slice(%8, [:, 2:3]) : [batch, 1]
            %24 = add(%23, %22) : [batch, 1]
            %25 = tanh(%24) : [batch, 1]
            %26 = multiply(%16, %7) : [batch, 1]
            %27 = constant(1.0) : []
            %28 = subtract(%27, %16) : [batch, 1]
            %29 = multiply(%28, %25) : [batch, 1]
            %30 = add(%26, %29) : [batch, 1]
            outputs %30
            ",
        );
    }

    #[test]
    fn a_reset_before_the_product_multiplies_the_state() {
        let all = Tensor::new(&[1, 3], [0.1, 0.2, 0.3]);
        let gru = gru(Reset::Before { gates: columns(&all, 0..2), candidate: columns(&all, 2..3) });
        check(
            &["1, 2"],
            |builder, inputs| gru.lower(builder, inputs),
            "
            %0 = input() : [batch, 1, 2]
            %1 = constant(0.5, 0.5, 0.5, 0.5, 0.5, 0.5) : [2, 3]
            %2 = matrix_product(%0, %1) : [batch, 1, 3]
            %3 = constant(1.0, 2.0, 3.0) : [3]
            %4 = add(%2, %3) : [batch, 1, 3]
            %5 = slice(%4, [:, :, 0:1]) : [batch, 1, 1]
            %6 = reshape(%5) : [batch, 1]
            %7 = full_like(%6, 0.0) : [batch, 1]
            %8 = reshape(%4) : [batch, 3]
            %9 = constant(0.1, 0.2) : [1, 2]
            %10 = matrix_product(%7, %9) : [batch, 2]
            %11 = slice(%8, [:, 0:1]) : [batch, 1]
            %12 = slice(%10, [:, 0:1]) : [batch, 1]
            %13 = add(%11, %12) : [batch, 1]
            %14 = sigmoid(%13) : [batch, 1]
            %15 = slice(%8, [:, 1:2]) : [batch, 1]
            %16 = slice(%10, [:, 1:2]) : [batch, 1]
            %17 = add(%15, %16) : [batch, 1]
            %18 = sigmoid(%17) : [batch, 1]
            %19 = multiply(%18, %7) : [batch, 1]
            %20 = constant(0.3) : [1, 1]
            %21 = matrix_product(%19, %20) : [batch, 1]
            %22 = slice(%8, [:, 2:3]) : [batch, 1]
            %23 = add(%22, %21) : [batch, 1]
            %24 = tanh(%23) : [batch, 1]
            %25 = multiply(%14, %7) : [batch, 1]
            %26 = constant(1.0) : []
            %27 = subtract(%26, %14) : [batch, 1]
            %28 = multiply(%27, %24) : [batch, 1]
            %29 = add(%25, %28) : [batch, 1]
            outputs %29
            ",
        );
    }
}
