//! Layers that keep every value and change the shape: `Flatten`, `Reshape`, `Permute`, `RepeatVector`.

use model::{Builder, Fault, Shape, Size, Value};

use crate::layers::{Interpolation, Layer};
use crate::reader::Reader;
use crate::shapes::describe;

/// Another shape with as many elements for each row of the batch. One size may be -1, which becomes what is left.
pub(super) fn reshaped(target: &[i64], builder: &mut Builder, x: Value) -> Result<Value, Fault> {
    let shape = builder.shape(x);
    let impossible =
        || Fault(format!("its input has shape {}, which cannot become {target:?}", shape.described()));
    let given: Option<Vec<usize>> =
        target.iter().filter(|size| **size != -1).map(|size| usize::try_from(*size).ok()).collect();
    let given = given.ok_or_else(impossible)?;
    let elements = given.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
    let elements = elements.ok_or_else(impossible)?;
    let whole = after_batch(shape);
    let rest = match (target.len() - given.len(), whole.elements()) {
        (0, _) => Size::Open,
        (1, None) if whole.is_open() => Size::Open,
        (1, Some(whole)) if elements != 0 && whole.is_multiple_of(elements) => Size::Known(whole / elements),
        (_, _) => return Err(impossible()),
    };
    let sizes = target.iter().map(|size| usize::try_from(*size).map_or(rest, Size::Known));
    let reshaped = shape.iter().take(1).copied().chain(sizes).collect();
    builder.reshape(x, reshaped)
}

/// Rows of these sizes, as many as the values of all images fill: a part of each image becomes a row of the batch, or the other
/// way around. `tf.reshape(x, [-1, 16, 8])` of 32×32×8 gives each image 64 rows of the batch. Layers compute each row by
/// itself, so the images stay apart.
pub(super) fn in_rows(sizes: &[usize], builder: &mut Builder, x: Value) -> Result<Value, Fault> {
    let shape = builder.shape(x);
    let row = Shape::known(sizes);
    let folded = match (shape.first(), shape.elements(), row.elements()) {
        (Some(Size::Batch(_)), Some(all), Some(elements)) => {
            if elements == 0 || !all.is_multiple_of(elements) {
                let before = after_batch(shape).elements().unwrap_or_default();
                return Err(Fault(format!(
                    "its input has shape {}, which cannot become {sizes:?} without joining images of the batch, \
                     expected a shape that keeps them apart, such as [-1, {before}]",
                    shape.described()
                )));
            }
            Some(Size::Batch(all / elements))
        }
        // How many rows there are is known with the size of the images.
        (first, _, _) => first.copied(),
    };
    let reshaped = folded.into_iter().chain(row.0).collect();
    builder.reshape(x, reshaped)
}

fn after_batch(shape: &Shape) -> Shape {
    Shape(shape.get(1..).unwrap_or_default().to_vec())
}

/// Other orders of the axes after the batch, which count from 1 as in Keras.
pub(super) fn permuted(axes: &[usize], builder: &mut Builder, x: Value) -> Result<Value, Fault> {
    let shape = builder.shape(x);
    let mut sorted = axes.to_vec();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(1..shape.len()) {
        return Err(Fault(format!("`dims` is {axes:?}, expected every axis of {} once", shape.described())));
    }
    let order: Vec<usize> = std::iter::once(0).chain(axes.iter().copied()).collect();
    builder.transpose(x, &order)
}

pub(super) fn flatten(reader: &mut Reader) -> Layer {
    reader.data_format();
    Layer::Flatten
}

pub(super) fn reshape(reader: &mut Reader) -> Layer {
    let target = reader.integers("target_shape");
    if target.is_none() {
        reader.fault("its config has no `target_shape` of whole numbers");
    }
    Layer::Reshape { target: target.unwrap_or_default() }
}

pub(super) fn permute(reader: &mut Reader) -> Layer {
    let axes: Option<Vec<usize>> = reader
        .integers("dims")
        .and_then(|axes| axes.into_iter().map(|axis| usize::try_from(axis).ok()).collect());
    if axes.is_none() {
        reader.fault("its config has no `dims` of positive whole numbers");
    }
    Layer::Permute { axes: axes.unwrap_or_default() }
}

/// Repeats a vector along a new sequence axis.
pub(super) fn repeat_vector(reader: &mut Reader) -> Layer {
    let count = reader.size("n");
    if let Some(input) = reader.input().filter(|input| input.len() != 1) {
        reader.fault(format!("its input has shape {}, expected [channels]", describe(input)));
    }
    let repeat = Layer::UpSampling2d { factors: [1, count], interpolation: Interpolation::Nearest };
    Layer::Sequential(vec![Layer::Reshape { target: vec![1, -1] }, Layer::OverSequence(Box::new(repeat))])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::lowered::{check, fault};

    fn check_reshape(input: &str, target: &[i64], expected: &str) {
        check(
            &[input],
            |builder, inputs| reshaped(target, builder, inputs[0]),
            &format!("%0 = input() : {expected}"),
        );
    }

    #[test]
    fn the_size_that_is_left_is_computed() {
        check_reshape("4, 6", &[2, -1], "[batch, 4, 6]\n%1 = reshape(%0) : [batch, 2, 12]\noutputs %1");
        check_reshape("4, 6", &[-1], "[batch, 4, 6]\n%1 = reshape(%0) : [batch, 24]\noutputs %1");
        check_reshape("4, 6", &[4, 6], "[batch, 4, 6]\noutputs %0");
        check_reshape("?, 6", &[-1, 3], "[batch, ?, 6]\n%1 = reshape(%0) : [batch, ?, 3]\noutputs %1");
        check_reshape(
            "batch * 4, 6",
            &[3, -1],
            "[batch * 4, 6]\n%1 = reshape(%0) : [batch * 4, 3, 2]\noutputs %1",
        );
    }

    #[test]
    fn shapes_with_other_numbers_of_elements_are_faults() {
        let check = |target: &[i64]| {
            let found = fault(&["4, 6"], |builder, inputs| reshaped(target, builder, inputs[0]));
            assert_eq!(found, format!("its input has shape [4, 6], which cannot become {target:?}"));
        };
        check(&[5, 5]);
        check(&[5, -1]);
        check(&[0, -1]);
        check(&[-1, -1]);
        check(&[-2, -12]);
        check(&[i64::MAX, i64::MAX]);
    }

    #[test]
    fn parts_of_an_image_become_rows_of_the_batch_and_back() {
        check(
            &["4, 6, 8"],
            |builder, inputs| {
                let rows = in_rows(&[3, 8], builder, inputs[0])?;
                let halves = in_rows(&[96], builder, rows)?;
                in_rows(&[4, 48], builder, halves)
            },
            "
            %0 = input() : [batch, 4, 6, 8]
            %1 = reshape(%0) : [batch * 8, 3, 8]
            %2 = reshape(%1) : [batch * 2, 96]
            %3 = reshape(%2) : [batch, 4, 48]
            outputs %3
            ",
        );
        check(
            &["?, 6"],
            |builder, inputs| in_rows(&[3, 2], builder, inputs[0]),
            "%0 = input() : [batch, ?, 6]\n%1 = reshape(%0) : [batch, 3, 2]\noutputs %1",
        );
        assert_eq!(
            fault(&["4, 6"], |builder, inputs| in_rows(&[48], builder, inputs[0])),
            "its input has shape [4, 6], which cannot become [48] without joining images of the batch, expected a \
             shape that keeps them apart, such as [-1, 24]"
        );
    }

    #[test]
    fn axes_are_transposed_behind_the_batch() {
        check(
            &["4, 6, 3"],
            |builder, inputs| permuted(&[3, 1, 2], builder, inputs[0]),
            "
            %0 = input() : [batch, 4, 6, 3]
            %1 = transpose(%0, order [0, 3, 1, 2]) : [batch, 3, 4, 6]
            outputs %1
            ",
        );
        for axes in [&[1][..], &[1, 1], &[2, 3], &[1, 2, 3]] {
            assert_eq!(
                fault(&["4, 6"], |builder, inputs| permuted(axes, builder, inputs[0])),
                format!("`dims` is {axes:?}, expected every axis of [4, 6] once")
            );
        }
    }
}
