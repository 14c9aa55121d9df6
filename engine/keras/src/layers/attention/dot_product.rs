//! The operation `dot_product_attention`.

use model::{Binary, Builder, Fault, Size};

use super::{attend, misfit};
use crate::layers::lowering::Lower;
use crate::layers::operation::operand;
use crate::layers::{Layer, Operand};
use crate::reader::Reader;

/// `softmax(scale * query · key) value` in each head, of inputs `[batch, positions, heads,
/// channels]`.
#[derive(Debug, Clone)]
struct DotProductAttention {
    /// Factor of the scores.
    scale: f32,
    /// Index of the input with the queries.
    query: usize,
    /// Index of the input with the keys.
    key: usize,
    /// Index of the input with the values.
    value: usize,
}

impl Lower for DotProductAttention {
    /// Each head is a product of matrices, behind the axis of the heads.
    fn lower(&self, builder: &mut Builder, inputs: &[model::Value]) -> Result<model::Value, Fault> {
        let of = |index: usize| inputs.get(index).copied().ok_or("it is called on too few inputs");
        let (query, key, value) = (of(self.query)?, of(self.key)?, of(self.value)?);
        check(builder, [query, key, value], inputs)?;
        let query = builder.with_scalar(Binary::Multiply, query, self.scale)?;
        let query = builder.transpose(query, &HEADS_FIRST)?;
        let key = builder.transpose(key, &HEADS_FIRST)?;
        let value = builder.transpose(value, &HEADS_FIRST)?;
        let attended = attend(builder, query, key, value)?;
        builder.transpose(attended, &HEADS_FIRST)
    }
}

/// `[batch, positions, heads, channels]` with the heads before the positions, and the other way around.
const HEADS_FIRST: [usize; 4] = [0, 2, 1, 3];

/// A product broadcasts heads, which attention does not.
fn check(
    builder: &Builder,
    [query, key, value]: [model::Value; 3],
    inputs: &[model::Value],
) -> Result<(), Fault> {
    let ([_, _, heads, size], [_, key_positions, key_heads, key_size], [_, value_positions, value_heads, _]) =
        (&builder.shape(query)[..], &builder.shape(key)[..], &builder.shape(value)[..])
    else {
        return Err(Fault(format!("{}, each [positions, heads, channels]", misfit(builder, inputs))));
    };
    let is_known = |size: &Size| size.known().is_some();
    let fits = is_known(heads)
        && heads == key_heads
        && heads == value_heads
        && is_known(size)
        && size == key_size
        && key_positions.fitted(*value_positions).is_some();
    if fits { Ok(()) } else { Err(misfit(builder, inputs).into()) }
}

/// Reads the operation.
pub(in crate::layers) fn operation(reader: &mut Reader) -> Layer {
    for key in ["bias", "mask", "is_causal", "attn_logits_soft_cap"] {
        reader.unset(key);
    }
    // How it is computed, not what.
    reader.ignore(&["flash_attention"]);
    let names: [&[&'static str]; 3] = [&["query"], &["key"], &["value"]];
    let inputs = [0, 1, 2].map(|index| {
        let value = reader.argument(index, names[index]);
        operand(reader, value)
    });
    let inputs = inputs.map(|operand| match operand {
        Operand::Input(index) => index,
        Operand::Constant(_) => {
            reader.fault("it is called on a constant, expected outputs of layers");
            0
        }
    });
    let scale = reader.optional_number("scale");
    let size = reader.inputs().get(inputs[1]).and_then(|shape| shape.as_ref()?.last().copied().flatten());
    #[expect(clippy::cast_precision_loss, reason = "no head has 16 million channels")]
    let usual = size.map(|size| 1.0 / (size as f32).sqrt());
    match scale.or(usual) {
        Some(scale) => {
            Layer::own(DotProductAttention { scale, query: inputs[0], key: inputs[1], value: inputs[2] })
        }
        None => {
            reader.unsure();
            Layer::Identity
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::lowered;

    const BY: DotProductAttention = DotProductAttention { scale: 0.5, query: 1, key: 0, value: 2 };

    #[test]
    fn heads_are_matrices_of_their_own() {
        lowered::check(
            &["5, 2, 4", "7, 2, 4", "5, 2, 3"],
            |builder, inputs| BY.lower(builder, inputs),
            "
            %0 = input() : [batch, 5, 2, 4]
            %1 = unresolved(%0) : [batch, 7, 2, 4]
            %2 = unresolved(%0) : [batch, 5, 2, 3]
            %3 = constant(0.5) : []
            %4 = multiply(%1, %3) : [batch, 7, 2, 4]
            %5 = transpose(%4, order [0, 2, 1, 3]) : [batch, 2, 7, 4]
            %6 = transpose(%0, order [0, 2, 1, 3]) : [batch, 2, 5, 4]
            %7 = transpose(%2, order [0, 2, 1, 3]) : [batch, 2, 5, 3]
            %8 = matrix_product(%5, %6, right transposed) : [batch, 2, 7, 5]
            %9 = softmax(%8, axis 3) : [batch, 2, 7, 5]
            %10 = matrix_product(%9, %7) : [batch, 2, 7, 3]
            %11 = transpose(%10, order [0, 2, 1, 3]) : [batch, 7, 2, 3]
            outputs %11
            ",
        );
    }

    #[test]
    fn heads_that_would_only_broadcast_are_faults() {
        let check = |inputs: &[&str], expected: &str| {
            assert_eq!(lowered::fault(inputs, |builder, inputs| BY.lower(builder, inputs)), expected);
        };
        check(
            &["5, 1, 4", "7, 2, 4", "5, 1, 3"],
            "its inputs have shapes [5, 1, 4] and [7, 2, 4] and [5, 1, 3], expected some that fit together",
        );
        check(
            &["5, 4", "7, 4", "5, 3"],
            "its inputs have shapes [5, 4] and [7, 4] and [5, 3], expected some that fit together, each [positions, \
             heads, channels]",
        );
        check(&["5, 2, 4", "7, 2, 4"], "it is called on too few inputs");
    }
}
