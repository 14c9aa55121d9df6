//! Recurrent layers: `SimpleRNN`, `GRU`, `LSTM`. Each applies a cell to one position of a sequence after the other.
//!
//! The sequence is unrolled: every position has primitives of its own, and all share the weights. So its length has to be
//! known before a run.

use std::fmt;

use model::{Builder, Fault, Range, Size, Tensor, Value};

use super::Activation;
use super::lowering::{Lower, expect_channels, only};
use crate::reader::Reader;

pub(super) mod gru;
pub(super) mod lstm;
pub(super) mod simple;

/// Most positions of a sequence. Each takes some twenty primitives.
const MAX_POSITIONS: usize = 1 << 10;

/// What a recurrent layer computes at each position.
trait Cell: fmt::Debug + Send + Sync {
    /// How many states it hands from one position to the next.
    const STATES: usize;

    /// The states after a position, from the projected position and the states before it. The first one is the output.
    fn step(&self, builder: &mut Builder, x: Value, states: &[Value]) -> Result<Vec<Value>, Fault>;
}

/// A cell, applied to the positions of `[batch, positions, channels]`. The states begin as zeros.
#[derive(Debug)]
struct Recurrent<C> {
    cell: C,
    /// `[channels, gates * units]`: all positions are projected at once.
    kernel: Tensor,
    /// `[gates * units]`.
    bias: Option<Tensor>,
    /// How the cell is applied.
    settings: Settings,
}

/// What all recurrent layers have in their config.
#[derive(Debug, Clone, Copy)]
struct Settings {
    /// Size of each state.
    units: usize,
    /// Whether the outputs at all positions are returned, in the order in which they are computed, and not only the last.
    returns_sequence: bool,
    /// Whether the last position comes first.
    goes_backwards: bool,
    has_bias: bool,
}

impl<C: Cell> Lower for Recurrent<C> {
    fn lower(&self, builder: &mut Builder, inputs: &[Value]) -> Result<Value, Fault> {
        let x = only(inputs)?;
        let shape = builder.shape(x);
        let [batch, length, _] = shape[..] else {
            let found = shape.described();
            return Err(Fault(format!("its input has shape {found}, expected [sequence, channels]")));
        };
        let Settings { units, returns_sequence, goes_backwards, .. } = self.settings;
        if length.known().is_some_and(|length| length > MAX_POSITIONS) {
            let found = shape.described();
            return Err(Fault(format!(
                "its input has shape {found}, expected a sequence of at most {MAX_POSITIONS}"
            )));
        }
        expect_channels(self.kernel.shape.first().copied().unwrap_or_default(), builder, x)?;
        let Size::Known(length) = length else {
            let positions = returns_sequence.then_some(length);
            let sizes = [batch].into_iter().chain(positions).chain([Size::Known(units)]);
            return builder.unresolved(&[x], sizes.collect());
        };

        let kernel = builder.constant(&self.kernel)?;
        let projected = builder.matrix_product(x, kernel)?;
        let projected = builder.biased(projected, self.bias.as_ref())?;
        let of_states = part(builder, projected, 0, units)?;
        let of_states = position(builder, of_states, 0)?;
        let mut states = vec![builder.full_like(of_states, 0.0)?; C::STATES];
        let mut outputs = Vec::new();
        for index in 0..length {
            let index = if goes_backwards { length - 1 - index } else { index };
            let x = position(builder, projected, index)?;
            states = self.cell.step(builder, x, &states)?;
            outputs.extend(states.first());
        }
        if !returns_sequence {
            return outputs.last().copied().ok_or_else(|| "its input has no positions".into());
        }
        let outputs = outputs.iter().map(|output| builder.expand(*output, 1));
        let outputs = outputs.collect::<Result<Vec<_>, _>>()?;
        builder.concatenate(&outputs, 1)
    }
}

/// One position of `[batch, positions, channels]`: `[batch, channels]`.
fn position(builder: &mut Builder, x: Value, index: usize) -> Result<Value, Fault> {
    let only = builder.slice(x, &[Range::WHOLE, Range::between(index, index + 1), Range::WHOLE])?;
    builder.squeeze(only, 1)
}

/// One of several parts of so many units each, side by side on the last axis.
fn part(builder: &mut Builder, x: Value, index: usize, units: usize) -> Result<Value, Fault> {
    let axes = builder.shape(x).len();
    let mut ranges = vec![Range::WHOLE; axes.saturating_sub(1)];
    ranges.push(Range::between(index * units, (index + 1) * units));
    builder.slice(x, &ranges)
}

/// The product of a state with a kernel, `[units, …]`.
fn recur(builder: &mut Builder, state: Value, kernel: &Tensor) -> Result<Value, Fault> {
    let kernel = builder.constant(kernel)?;
    builder.matrix_product(state, kernel)
}

fn settings(reader: &mut Reader) -> Settings {
    // They matter in training, or where steps are masked, or say how to compute and not what.
    reader.ignore(&[
        "dropout",
        "recurrent_dropout",
        "seed",
        "zero_output_for_mask",
        "implementation",
        "unroll",
        "use_cudnn",
        "enable_caching_device",
    ]);
    // States as outputs, states that go from one batch to the next, and the batch on the second axis.
    for key in ["return_state", "stateful", "time_major"] {
        reader.unset(key);
    }
    Settings {
        units: reader.size("units"),
        returns_sequence: reader.flag_or("return_sequences", false),
        goes_backwards: reader.flag_or("go_backwards", false),
        has_bias: reader.flag_or("use_bias", true),
    }
}

/// The function of a key, which a recurrent layer always writes: where it is missing, Keras's default is not linear.
fn function(reader: &mut Reader, key: &'static str) -> Activation {
    if reader.value(key).is_none() {
        reader.fault(format!("its config has no `{key}`"));
    }
    reader.function(key)
}
