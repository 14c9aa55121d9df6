//! Shapes of what layers of attention compute.

use super::{Shape, describe, wrong_channels};
use crate::layers::{Attention, AttentionScore, DotProductAttention, MultiHeadAttention};

/// The query's places with the output's channels.
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
                return Err(format!("its input has shape {}, expected [places…, channels]", describe(input)));
            }
        }
    }
    let places = query.len() - 1;
    let fits =
        |one: Option<usize>, other: Option<usize>| one.zip(other).is_none_or(|(one, other)| one == other);
    let all_fit = value.len() == query.len()
        && key.len() == query.len()
        && (0..places).all(|axis| {
            fits(value[axis], key[axis]) && (layer.axes.contains(&axis) || fits(query[axis], key[axis]))
        });
    if !all_fit {
        return Err(misfit(inputs));
    }
    let channels = layer.output.kernel.shape.iter().skip(2).map(|&size| Some(size));
    Ok(query[..places].iter().copied().chain(channels).collect())
}

/// The query's places with the value's channels.
pub(super) fn attention(layer: &Attention, inputs: &[Shape]) -> Result<Shape, String> {
    let (query, value, key) = match inputs {
        [query, value] => (query, value, value),
        [query, value, key] => (query, value, key),
        _ => return Err(format!("it is called on {} inputs, expected 2 or 3", inputs.len())),
    };
    let ([places, channels], [sources, outputs], [keys, key_channels]) = (&query[..], &value[..], &key[..])
    else {
        return Err(format!("{}, each [places, channels]", misfit(inputs)));
    };
    // Sums, unlike products, would broadcast where there is one channel.
    let scale = layer.scale.as_ref().map(|scale| &scale.shape);
    let own = match layer.score {
        AttentionScore::Additive => scale.and_then(|scale| scale.first().copied()),
        AttentionScore::Dot | AttentionScore::Concat { .. } => None,
    };
    if channels.is_none() || channels != key_channels || own.is_some_and(|own| *channels != Some(own)) {
        return Err(misfit(inputs));
    }
    if sources.zip(*keys).is_some_and(|(sources, keys)| sources != keys) {
        return Err(misfit(inputs));
    }
    Ok(vec![*places, *outputs])
}

/// `[places, heads, channels]` of each.
pub(super) fn dot_product_attention(layer: &DotProductAttention, inputs: &[Shape]) -> Result<Shape, String> {
    let of = |index: usize| inputs.get(index).ok_or("it is called on too few inputs");
    let (query, key, value) = (of(layer.query)?, of(layer.key)?, of(layer.value)?);
    let ([places, heads, size], [keys, key_heads, key_size], [sources, value_heads, outputs]) =
        (&query[..], &key[..], &value[..])
    else {
        return Err(format!("{}, each [places, heads, channels]", misfit(inputs)));
    };
    let same =
        heads.is_some() && heads == key_heads && heads == value_heads && size.is_some() && size == key_size;
    if !same || keys.zip(*sources).is_some_and(|(keys, sources)| keys != sources) {
        return Err(misfit(inputs));
    }
    Ok(vec![*places, *heads, *outputs])
}

fn misfit(inputs: &[Shape]) -> String {
    let shapes: Vec<String> = inputs.iter().map(|shape| describe(shape)).collect();
    format!("its inputs have shapes {}, expected some that fit together", shapes.join(" and "))
}
