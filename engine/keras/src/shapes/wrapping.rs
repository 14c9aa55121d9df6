//! Shapes of layers around a layer.

use super::{Shape, describe, output_of_one, output_shape};
use crate::layers::Layer;

pub(super) fn over_sequence(layer: &Layer, input: &Shape) -> Result<Shape, String> {
    let [length, channels] = input[..] else {
        return Err(format!("its input has shape {}, expected [sequence, channels]", describe(input)));
    };
    let mut output = output_of_one(layer, &vec![Some(1), length, channels])?;
    output.remove(0);
    Ok(output)
}

pub(super) fn channels_first(layer: &Layer, input: &Shape) -> Result<Shape, String> {
    let mut channels_last = input.clone();
    if !channels_last.is_empty() {
        channels_last.rotate_left(1);
    }
    let mut output = output_of_one(layer, &channels_last)?;
    if output.len() == input.len() && !output.is_empty() {
        output.rotate_right(1);
    }
    Ok(output)
}

pub(super) fn time_distributed(layer: &Layer, input: &Shape) -> Result<Shape, String> {
    let Some((length, position)) = input.split_first() else {
        return Err(format!("its input has shape {}, expected [sequence, …]", describe(input)));
    };
    let output = output_shape(layer, &[position.to_vec()])?;
    Ok(std::iter::once(*length).chain(output).collect())
}
