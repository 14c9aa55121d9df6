//! Shapes of operations that move values without computing any.

use super::{Shape, Window, describe, image, times};
use crate::layers::{Gather, Pad, PadMode, Patches};

pub(super) fn gathered(gather: &Gather, input: &Shape) -> Result<Shape, String> {
    let mut output = input.clone();
    match output.get_mut(gather.axis) {
        Some(Some(size)) if gather.indices.iter().all(|index| *index < *size) => *size = gather.indices.len(),
        Some(_) | None => {
            return Err(format!("its input has shape {}, expected a larger one", describe(input)));
        }
    }
    Ok(output)
}

pub(super) fn padded(pad: &Pad, input: &Shape) -> Result<Shape, String> {
    if pad.sides.len() != input.len() {
        return Err(format!("its input has shape {}, expected {} axes", describe(input), pad.sides.len()));
    }
    // How much of an axis can be mirrored.
    let reach = |size: usize| match pad.mode {
        PadMode::Constant(_) => usize::MAX,
        PadMode::Reflect => size.saturating_sub(1),
        PadMode::Symmetric => size,
    };
    let mut output = Shape::new();
    for (&size, [before, after]) in input.iter().zip(&pad.sides) {
        if let Some(size) = size.filter(|&size| (*before).max(*after) > reach(size)) {
            return Err(format!("it mirrors more than there is of an axis of {size}"));
        }
        let grown = |size: usize| size.checked_add(*before)?.checked_add(*after);
        let too_large = || "its output is too large to be computed".to_owned();
        output.push(size.map(|size| grown(size).ok_or_else(too_large)).transpose()?);
    }
    Ok(output)
}

pub(super) fn patched(patches: &Patches, input: &Shape) -> Result<Shape, String> {
    let [height, width, channels] = image(input)?;
    let window = |axis: usize| Window {
        size: patches.size[axis],
        stride: patches.strides[axis],
        dilation: patches.dilation[axis],
        padding: patches.padding,
    };
    let channels = times(times(channels, patches.size[0])?, patches.size[1])?;
    Ok(vec![window(0).output_size(height)?, window(1).output_size(width)?, channels])
}

pub(super) fn space_to_depth(block_size: usize, input: &Shape) -> Result<Shape, String> {
    let [height, width, channels] = image(input)?;
    let divide = |size| divided(size, block_size, input);
    Ok(vec![divide(height)?, divide(width)?, times(times(channels, block_size)?, block_size)?])
}

pub(super) fn depth_to_space(block_size: usize, input: &Shape) -> Result<Shape, String> {
    let [height, width, channels] = image(input)?;
    let pixels = block_size.saturating_mul(block_size);
    Ok(vec![times(height, block_size)?, times(width, block_size)?, divided(channels, pixels, input)?])
}

fn divided(size: Option<usize>, by: usize, input: &Shape) -> Result<Option<usize>, String> {
    match size {
        Some(size) if by == 0 || !size.is_multiple_of(by) => {
            Err(format!("its input has shape {}, which blocks of {by} do not fill", describe(input)))
        }
        size => Ok(size.map(|size| size / by)),
    }
}
