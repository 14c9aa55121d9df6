//! Reshapes that fold a part of each image into the batch, and back: `tf.reshape(x, [-1, 16, 8])` of 32×32×8 makes 64
//! rows of the batch of each image. All that is computed between is computed of each row by itself, so the images stay
//! apart; only how many rows an image has must be kept in mind.

use crate::layers::Layer;
use crate::shapes::{Shape, describe};

/// Shape and rows of an image behind a reshape that moves values into or out of the batch; `None` behind all else.
///
/// # Errors
/// Rows of several images would become one.
pub(super) fn reshaped(
    layer: &Layer,
    inputs: &[Shape],
    rows: usize,
) -> Option<Result<(Shape, usize), String>> {
    let (Layer::Reshape { target }, [input]) = (layer, inputs) else { return None };
    let count = |sizes: &[Option<usize>]| {
        sizes
            .iter()
            .try_fold(1_usize, |product, size| product.checked_mul((*size)?))
            .filter(|count| *count > 0)
    };
    let shape: Shape = target.iter().map(|size| usize::try_from(*size).ok()).collect();
    let (before, after) = (count(input)?, count(&shape)?);
    if before == after {
        return None;
    }
    let all = before.checked_mul(rows)?;
    Some(if all.is_multiple_of(after) {
        Ok((shape, all / after))
    } else {
        Err(format!(
            "its input has shape {}, which cannot become {target:?} without joining images of the batch, expected a \
             shape that keeps them apart, such as [-1, {before}]",
            describe(input)
        ))
    })
}
