//! Images: convolutions, pooling, patches, resizing, blocks.

use super::wrong_channels;
use crate::fault::Fault;
use crate::op::{Convolution, ConvolutionTranspose};
use crate::shape::{Shape, Size};
use crate::tensor::Tensor;
use crate::window::{Padding, Window};

pub(super) fn convolution(convolution: &Convolution, input: &Shape) -> Result<Shape, Fault> {
    let Convolution { kernel, bias, windows, groups } = convolution;
    let [.., each, outputs] = kernel_of(kernel, windows)?;
    let [height, width, channels] = input.image()?;
    let expected = each.saturating_mul(*groups);
    if channels.known().is_some_and(|channels| channels != expected) {
        return Err(wrong_channels(input, expected));
    }
    if *groups == 0 || !outputs.is_multiple_of(*groups) {
        return Err(Fault(format!("its {outputs} outputs cannot be divided among {groups} groups")));
    }
    bias_of(bias.as_ref(), outputs)?;
    let [rows, columns] = [windows[0].output(height)?, windows[1].output(width)?];
    Ok(Shape(vec![input[0], rows, columns, Size::Known(outputs)]))
}

pub(super) fn convolution_transpose(by: &ConvolutionTranspose, input: &Shape) -> Result<Shape, Fault> {
    let [.., outputs, expected] = kernel_of(&by.kernel, &by.windows)?;
    let [height, width, channels] = input.image()?;
    if channels.known().is_some_and(|channels| channels != expected) {
        return Err(wrong_channels(input, expected));
    }
    bias_of(by.bias.as_ref(), outputs)?;
    for (axis, length) in [height, width].into_iter().enumerate() {
        if by.windows[axis].output(by.size[axis])?.fitted(length).is_none() {
            return Err(Fault(format!(
                "its output of {} pixels is not what its windows make of an input of {length}",
                by.size[axis]
            )));
        }
    }
    Ok(Shape(vec![input[0], by.size[0], by.size[1], Size::Known(outputs)]))
}

/// The sizes of a kernel, which its windows have, too.
fn kernel_of(kernel: &Tensor, windows: &[Window; 2]) -> Result<[usize; 4], Fault> {
    let shape = &kernel.shape;
    let sizes = <[usize; 4]>::try_from(shape.as_slice())
        .map_err(|_| Fault(format!("its kernel has shape {shape:?}, expected 4 axes")))?;
    if windows.map(|window| window.size) != sizes[..2] {
        let windows = windows.map(|window| window.size);
        return Err(Fault(format!("its kernel has shape {shape:?}, but its window {windows:?}")));
    }
    Ok(sizes)
}

fn bias_of(bias: Option<&Tensor>, outputs: usize) -> Result<(), Fault> {
    match bias {
        Some(bias) if bias.shape != [outputs] => {
            Err(Fault(format!("its bias has shape {:?}, expected [{outputs}]", bias.shape)))
        }
        Some(_) | None => Ok(()),
    }
}

pub(super) fn pool(windows: &[Window; 2], input: &Shape) -> Result<Shape, Fault> {
    let [height, width, channels] = input.image()?;
    let [rows, columns] = [windows[0].output(height)?, windows[1].output(width)?];
    windows.iter().try_for_each(|window| sees_a_pixel(*window))?;
    Ok(Shape(vec![input[0], rows, columns, channels]))
}

/// Fails where a window could lie wholly in the padding: it would have no mean and no maximum.
fn sees_a_pixel(window: Window) -> Result<(), Fault> {
    let Window { size, dilation, padding, .. } = window;
    if dilation != 1 {
        return Err(Fault(format!("its window has dilation {dilation}, expected 1")));
    }
    match padding {
        Padding::Explicit { before, after } if before.max(after) >= size => {
            Err(Fault(format!("its padding of {} is not less than its window of {size}", before.max(after))))
        }
        Padding::Explicit { .. } | Padding::Same => Ok(()),
    }
}

pub(super) fn patches(windows: &[Window; 2], input: &Shape) -> Result<Shape, Fault> {
    let [height, width, channels] = input.image()?;
    let channels = channels.times(windows[0].size)?.times(windows[1].size)?;
    Ok(Shape(vec![input[0], windows[0].output(height)?, windows[1].output(width)?, channels]))
}

pub(super) fn resized(size: [Size; 2], input: &Shape) -> Result<Shape, Fault> {
    let [.., channels] = input.image()?;
    if size.contains(&Size::Known(0)) {
        return Err("its output has no pixels, expected at least 1".into());
    }
    Ok(Shape(vec![input[0], size[0], size[1], channels]))
}

pub(super) fn space_to_depth(block: usize, input: &Shape) -> Result<Shape, Fault> {
    let [height, width, channels] = input.image()?;
    let divide = |size: Size| divided(size, block, input);
    Ok(Shape(vec![input[0], divide(height)?, divide(width)?, channels.times(block)?.times(block)?]))
}

pub(super) fn depth_to_space(block: usize, input: &Shape) -> Result<Shape, Fault> {
    let [height, width, channels] = input.image()?;
    let channels = divided(channels, block.saturating_mul(block), input)?;
    Ok(Shape(vec![input[0], height.times(block)?, width.times(block)?, channels]))
}

fn divided(size: Size, by: usize, input: &Shape) -> Result<Size, Fault> {
    size.try_map(|size| {
        if by == 0 || !size.is_multiple_of(by) {
            let shape = input.described();
            return Err(Fault(format!("its input has shape {shape}, which blocks of {by} do not fill")));
        }
        Ok(size / by)
    })
}
