//! Layers around a layer: `TimeDistributed`, `SpectralNormalization`.

use model::{Builder, Fault, Shape, Size, Value};

use super::catalog;
use crate::layers::Layer;
use crate::reader::Reader;
use crate::shapes::{Sizes, describe};

/// The layer applied to each position of the sequence by itself.
pub(super) fn time_distributed(reader: &mut Reader) -> Layer {
    let Some(input) = reader.input() else {
        reader.ignore(&["layer"]);
        reader.unsure();
        return Layer::Identity;
    };
    if input.len() < 2 {
        reader.fault(format!("its input has shape {}, expected [sequence, …]", describe(input)));
    }
    let position: Sizes = input.iter().skip(1).copied().collect();
    Layer::TimeDistributed(Box::new(wrapped(reader, Some(position))))
}

/// Training divides the kernel by its largest singular value and stores the result, so that inference has nothing to do.
pub(super) fn spectral_normalization(reader: &mut Reader) -> Layer {
    reader.ignore(&["power_iterations"]);
    let layer = wrapped(reader, reader.input().cloned());
    let outputs = reader.input().and_then(|input| layer.output_sizes(std::slice::from_ref(input)).ok());
    reader
        .unneeded_alone(&["vector_u"], &[Some(1), outputs.and_then(|shape| shape.last().copied().flatten())]);
    layer
}

fn wrapped(reader: &mut Reader, input: Option<Sizes>) -> Layer {
    reader.wrapped(input, catalog::read).unwrap_or(Layer::Identity)
}

/// One layer after the other.
pub(super) fn sequential(layers: &[Layer], builder: &mut Builder, x: Value) -> Result<Value, Fault> {
    layers.iter().try_fold(x, |output, layer| layer.lower(builder, &[output]))
}

/// Makes the sequence an image of one row, and drops that axis at the end.
pub(super) fn over_sequence(layer: &Layer, builder: &mut Builder, x: Value) -> Result<Value, Fault> {
    let shape = builder.shape(x);
    if shape.len() != 3 {
        let found = shape.described();
        return Err(Fault(format!("its input has shape {found}, expected [sequence, channels]")));
    }
    let image = builder.expand(x, 1)?;
    let output = layer.lower(builder, &[image])?;
    builder.squeeze(output, 1)
}

/// Transposes to channels last before the layer, and back after it where the output has as many axes.
pub(super) fn channels_first(layer: &Layer, builder: &mut Builder, x: Value) -> Result<Value, Fault> {
    let axes = builder.shape(x).len();
    if axes < 2 {
        return layer.lower(builder, &[x]);
    }
    let channels_last: Vec<usize> = [0].into_iter().chain(2..axes).chain([1]).collect();
    let transposed = builder.transpose(x, &channels_last)?;
    let output = layer.lower(builder, &[transposed])?;
    if builder.shape(output).len() != axes {
        return Ok(output);
    }
    let channels_first: Vec<usize> = [0, axes - 1].into_iter().chain(1..axes - 1).collect();
    builder.transpose(output, &channels_first)
}

/// Folds the sequence into the batch before the layer, and unfolds it after the layer.
pub(super) fn by_position(layer: &Layer, builder: &mut Builder, x: Value) -> Result<Value, Fault> {
    let shape = builder.shape(x).clone();
    let [batch, length, position @ ..] = &shape[..] else {
        return Err(Fault(format!("its input has shape {}, expected [sequence, …]", shape.described())));
    };
    let with_positions = |sizes: &[Size], position: &[Size]| sizes.iter().chain(position).copied().collect();
    let all = match (batch, length) {
        (Size::Batch(rows), Size::Known(length)) => {
            Size::Batch(rows.checked_mul(*length).ok_or("its output is too large to be computed")?)
        }
        // As long as the length is open, so is the number of rows.
        _ => Size::Open,
    };
    let folded: Shape = with_positions(&[all], position);
    let folded = builder.reshape(x, folded)?;
    let output = layer.lower(builder, &[folded])?;
    let of_position = builder.shape(output).get(1..).unwrap_or_default();
    let unfolded: Shape = with_positions(&[*batch, *length], of_position);
    builder.reshape(output, unfolded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tensor;
    use crate::layers::lowered::{check, fault};
    use crate::layers::{Activation, Dense, PoolKind};

    fn dense() -> Layer {
        let kernel = Tensor::new(&[3, 2], vec![0.0; 6]);
        Layer::Dense(Dense { kernel, bias: None, activation: Activation::Linear })
    }

    #[test]
    fn positions_become_rows_of_the_batch_and_return() {
        let check_positions = |input: &str, expected: &str| {
            check(&[input], |builder, inputs| by_position(&dense(), builder, inputs[0]), expected);
        };
        check_positions(
            "5, 3",
            "
            %0 = input() : [batch, 5, 3]
            %1 = reshape(%0) : [batch * 5, 3]
            %2 = constant(0.0, 0.0, 0.0, 0.0, 0.0, 0.0) : [3, 2]
            %3 = matrix_product(%1, %2) : [batch * 5, 2]
            %4 = reshape(%3) : [batch, 5, 2]
            outputs %4
            ",
        );
        check_positions(
            "batch * 4, 5, 3",
            "
            %0 = input() : [batch * 4, 5, 3]
            %1 = reshape(%0) : [batch * 20, 3]
            %2 = constant(0.0, 0.0, 0.0, 0.0, 0.0, 0.0) : [3, 2]
            %3 = matrix_product(%1, %2) : [batch * 20, 2]
            %4 = reshape(%3) : [batch * 4, 5, 2]
            outputs %4
            ",
        );
    }

    #[test]
    fn a_sequence_of_open_length_leaves_the_number_of_rows_open() {
        let nested = Layer::TimeDistributed(Box::new(dense()));
        check(
            &["?, 4, 3"],
            |builder, inputs| by_position(&nested, builder, inputs[0]),
            "
            %0 = input() : [batch, ?, 4, 3]
            %1 = reshape(%0) : [?, 4, 3]
            %2 = reshape(%1) : [?, 3]
            %3 = constant(0.0, 0.0, 0.0, 0.0, 0.0, 0.0) : [3, 2]
            %4 = matrix_product(%2, %3) : [?, 2]
            %5 = reshape(%4) : [?, 4, 2]
            %6 = reshape(%5) : [batch, ?, 4, 2]
            outputs %6
            ",
        );
    }

    #[test]
    fn channels_are_last_inside_a_layer_that_has_them_first() {
        let pooled = |keep_dims| Layer::GlobalPool2d { kind: PoolKind::Max, keep_dims };
        check(
            &["3, 4, 5"],
            |builder, inputs| channels_first(&pooled(true), builder, inputs[0]),
            "
            %0 = input() : [batch, 3, 4, 5]
            %1 = transpose(%0, order [0, 2, 3, 1]) : [batch, 4, 5, 3]
            %2 = max(%1, axes [1, 2], kept) : [batch, 1, 1, 3]
            %3 = transpose(%2, order [0, 3, 1, 2]) : [batch, 3, 1, 1]
            outputs %3
            ",
        );
        check(
            &["3, 4, 5"],
            |builder, inputs| channels_first(&pooled(false), builder, inputs[0]),
            "
            %0 = input() : [batch, 3, 4, 5]
            %1 = transpose(%0, order [0, 2, 3, 1]) : [batch, 4, 5, 3]
            %2 = max(%1, axes [1, 2]) : [batch, 3]
            outputs %2
            ",
        );
    }

    #[test]
    fn inputs_of_other_shapes_are_faults() {
        let no_positions = fault(&[""], |builder, inputs| by_position(&dense(), builder, inputs[0]));
        assert_eq!(no_positions, "its input has shape [], expected [sequence, …]");
        let image = fault(&["4, 5, 3"], |builder, inputs| over_sequence(&dense(), builder, inputs[0]));
        assert_eq!(image, "its input has shape [4, 5, 3], expected [sequence, channels]");
        let channels = fault(&["5, 4"], |builder, inputs| by_position(&dense(), builder, inputs[0]));
        assert_eq!(channels, "its input has shape [4], expected 3 on the last axis");
    }
}
