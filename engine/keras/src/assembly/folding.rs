//! Reshapes that fold a part of each image into the batch, and back. `tf.reshape(x, [-1, 16, 8])` of 32×32×8 gives each
//! image 64 rows of the batch. Layers compute each row by itself, so the images stay apart. Only the number of rows per
//! image has to be tracked.

use crate::layers::Layer;
use crate::shapes::{Shape, describe};

/// The shape and the rows per image after a reshape that folds values into the batch or out of it; `None` after any other
/// layer.
///
/// # Errors
/// A row would join several images.
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
