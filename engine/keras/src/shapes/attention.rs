//! Shapes of attention layers.

use super::{Shape, describe, wrong_channels};
use crate::layers::{Attention, AttentionScore, DotProductAttention, MultiHeadAttention};

/// The output has the query's positions and the channels of the output projection.
pub(super) fn multi_head_attention(layer: &MultiHeadAttention, inputs: &[Shape]) -> Result<Shape, String> {
    let [query, value, key] = inputs else {
        return Err(format!("it is called on {} inputs, expected query, value and key", inputs.len()));
    };
    for (input, projection) in [(query, &layer.query), (value, &layer.value), (key, &layer.key)] {
        let channels = projection.kernel.shape[0];
        match input.last() {
            Some(Some(size)) if *size != channels => return Err(wrong_channels(input, channels)),
            Some(_) if input.len() >= 2 => {}
            Some(_) | None => {
                return Err(format!(
                    "its input has shape {}, expected [positions…, channels]",
                    describe(input)
                ));
            }
        }
    }
    let positions = query.len() - 1;
    let fits =
        |one: Option<usize>, other: Option<usize>| one.zip(other).is_none_or(|(one, other)| one == other);
    let all_fit = value.len() == query.len()
        && key.len() == query.len()
        && (0..positions).all(|axis| {
            fits(value[axis], key[axis]) && (layer.axes.contains(&axis) || fits(query[axis], key[axis]))
        });
    if !all_fit {
        return Err(misfit(inputs));
    }
    let channels = layer.output.kernel.shape.iter().skip(2).map(|&size| Some(size));
    Ok(query[..positions].iter().copied().chain(channels).collect())
}

/// The output has the query's positions and the value's channels.
pub(super) fn attention(layer: &Attention, inputs: &[Shape]) -> Result<Shape, String> {
    let (query, value, key) = match inputs {
        [query, value] => (query, value, value),
        [query, value, key] => (query, value, key),
        _ => return Err(format!("it is called on {} inputs, expected 2 or 3", inputs.len())),
    };
    let ([positions, channels], [value_positions, outputs], [key_positions, key_channels]) =
        (&query[..], &value[..], &key[..])
    else {
        return Err(format!("{}, each [positions, channels]", misfit(inputs)));
    };
    // A sum, unlike a product, broadcasts over a single channel.
    let scale = layer.scale.as_ref().map(|scale| &scale.shape);
    let own = match layer.score {
        AttentionScore::Additive => scale.and_then(|scale| scale.first().copied()),
        AttentionScore::Dot | AttentionScore::Concat { .. } => None,
    };
    if channels.is_none() || channels != key_channels || own.is_some_and(|own| *channels != Some(own)) {
        return Err(misfit(inputs));
    }
    if value_positions
        .zip(*key_positions)
        .is_some_and(|(value_positions, key_positions)| value_positions != key_positions)
    {
        return Err(misfit(inputs));
    }
    Ok(vec![*positions, *outputs])
}

/// Each input has shape `[positions, heads, channels]`.
pub(super) fn dot_product_attention(layer: &DotProductAttention, inputs: &[Shape]) -> Result<Shape, String> {
    let of = |index: usize| inputs.get(index).ok_or("it is called on too few inputs");
    let (query, key, value) = (of(layer.query)?, of(layer.key)?, of(layer.value)?);
    let (
        [positions, heads, size],
        [key_positions, key_heads, key_size],
        [value_positions, value_heads, outputs],
    ) = (&query[..], &key[..], &value[..])
    else {
        return Err(format!("{}, each [positions, heads, channels]", misfit(inputs)));
    };
    let same =
        heads.is_some() && heads == key_heads && heads == value_heads && size.is_some() && size == key_size;
    if !same
        || key_positions
            .zip(*value_positions)
            .is_some_and(|(key_positions, value_positions)| key_positions != value_positions)
    {
        return Err(misfit(inputs));
    }
    Ok(vec![*positions, *heads, *outputs])
}

fn misfit(inputs: &[Shape]) -> String {
    let shapes: Vec<String> = inputs.iter().map(|shape| describe(shape)).collect();
    format!("its inputs have shapes {}, expected some that fit together", shapes.join(" and "))
}
