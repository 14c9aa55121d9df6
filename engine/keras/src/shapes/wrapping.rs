//! Shapes of layers around a layer.

use super::{Shape, describe, output_of_one, output_shape};
use crate::layers::Layer;

pub(super) fn over_sequence(layer: &Layer, input: &Shape) -> Result<Shape, String> {
    let [steps, channels] = input[..] else {
        return Err(format!("its input has shape {}, expected [steps, channels]", describe(input)));
    };
    let mut output = output_of_one(layer, &vec![Some(1), steps, channels])?;
    output.remove(0);
    Ok(output)
}

pub(super) fn channels_first(layer: &Layer, input: &Shape) -> Result<Shape, String> {
    let mut turned = input.clone();
    if !turned.is_empty() {
        turned.rotate_left(1);
    }
    let mut output = output_of_one(layer, &turned)?;
    if output.len() == input.len() && !output.is_empty() {
        output.rotate_right(1);
    }
    Ok(output)
}

pub(super) fn time_distributed(layer: &Layer, input: &Shape) -> Result<Shape, String> {
    let Some((steps, step)) = input.split_first() else {
        return Err(format!("its input has shape {}, expected [steps, …]", describe(input)));
    };
    let output = output_shape(layer, &[step.to_vec()])?;
    Ok(std::iter::once(*steps).chain(output).collect())
}
