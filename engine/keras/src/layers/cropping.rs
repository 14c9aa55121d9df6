//! Layers that add rows and columns to an image or crop some: `ZeroPadding2D`, `Cropping2D` and their 1D forms.

use model::{Builder, Fault, PadMode, Range, Size, Value};
use serde_json::Value as Json;

use crate::json::{MAX_SIZE, shown};
use crate::layers::{Layer, sequence};
use crate::reader::Reader;

/// Rows and columns at the four edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Edges {
    /// Rows above.
    pub top: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns to the left.
    pub left: usize,
    /// Columns to the right.
    pub right: usize,
}

pub(super) fn zero_padding<const AXES: usize>(reader: &mut Reader) -> Layer {
    reader.data_format();
    sequence::layer::<AXES>(Layer::ZeroPadding2d(edges::<AXES>(reader, "padding", 1)))
}

pub(super) fn cropping<const AXES: usize>(reader: &mut Reader) -> Layer {
    reader.data_format();
    let default = if AXES == 1 { 1 } else { 0 };
    sequence::layer::<AXES>(Layer::Cropping2d(edges::<AXES>(reader, "cropping", default)))
}

/// An image has one number for all edges, two for vertical and horizontal, or two pairs. A sequence has one number for
/// both ends, or a pair.
fn edges<const AXES: usize>(reader: &mut Reader, key: &'static str, default: usize) -> Edges {
    let around = |[top, bottom]: [usize; 2], [left, right]: [usize; 2]| Edges { top, bottom, left, right };
    let of_sequence = |sides: [usize; 2]| around([0, 0], sides);
    let of_both = |size: usize| if AXES == 1 { of_sequence([size; 2]) } else { around([size; 2], [size; 2]) };
    let Some(value) = reader.value(key) else { return of_both(default) };
    let found = match value.as_array().map(Vec::as_slice) {
        Some(_) if AXES == 1 => side(value).map(of_sequence),
        Some([vertical, horizontal]) => {
            side(vertical).zip(side(horizontal)).map(|(vertical, horizontal)| around(vertical, horizontal))
        }
        Some(_) => None,
        None => count(value).map(of_both),
    };
    found.unwrap_or_else(|| {
        let what = if AXES == 1 { "positions at each end" } else { "rows and columns at each edge" };
        reader.fault(format!("`{key}` is {}, expected {what}", shown(value)));
        of_both(default)
    })
}

fn side(value: &Json) -> Option<[usize; 2]> {
    match value.as_array().map(Vec::as_slice) {
        Some([first, second]) => Some([count(first)?, count(second)?]),
        Some(_) => None,
        None => count(value).map(|both| [both, both]),
    }
}

fn count(value: &Json) -> Option<usize> {
    usize::try_from(value.as_u64().filter(|&count| count <= MAX_SIZE)?).ok()
}

/// The image with rows and columns of one value around it.
pub(super) fn padded(edges: Edges, value: f32, builder: &mut Builder, x: Value) -> Result<Value, Fault> {
    builder.shape(x).image()?;
    let Edges { top, bottom, left, right } = edges;
    builder.pad(x, &[[0, 0], [top, bottom], [left, right], [0, 0]], PadMode::Constant(value))
}

/// The image without the rows and columns at its edges.
pub(super) fn cropped(edges: Edges, builder: &mut Builder, x: Value) -> Result<Value, Fault> {
    let [height, width, _] = builder.shape(x).image()?;
    let Edges { top, bottom, left, right } = edges;
    let range = |size: Size, [before, after]: [usize; 2]| match size {
        Size::Known(size) => {
            let by = before.saturating_add(after);
            let end = size.checked_sub(after).filter(|_| by < size);
            end.map(|end| Range::between(before, end)).ok_or_else(|| {
                let shape = builder.shape(x).described();
                Fault(format!("it cuts {by} off its input of shape {shape}, expected less"))
            })
        }
        Size::Open | Size::Batch(_) => {
            let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
            let stop = (after > 0).then(|| -number(after));
            Ok(Range { start: (before > 0).then(|| number(before)), stop, step: 1 })
        }
    };
    let (rows, columns) = (range(height, [top, bottom])?, range(width, [left, right])?);
    builder.slice(x, &[Range::WHOLE, rows, columns, Range::WHOLE])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::lowered::{check, fault};

    const EDGES: Edges = Edges { top: 1, bottom: 2, left: 0, right: 3 };

    #[test]
    fn rows_and_columns_are_cropped_whatever_the_size_of_the_image() {
        let check_cropped = |input: &str, expected: &str| {
            check(&[input], |builder, inputs| cropped(EDGES, builder, inputs[0]), expected);
        };
        check_cropped(
            "8, 9, 3",
            "
            %0 = input() : [batch, 8, 9, 3]
            %1 = slice(%0, [:, 1:6, 0:6, :]) : [batch, 5, 6, 3]
            outputs %1
            ",
        );
        check_cropped(
            "?, ?, 3",
            "
            %0 = input() : [batch, ?, ?, 3]
            %1 = slice(%0, [:, 1:-2, :-3, :]) : [batch, ?, ?, 3]
            outputs %1
            ",
        );
    }

    #[test]
    fn an_image_of_which_nothing_is_left_is_a_fault() {
        let of = |input: &str| fault(&[input], |builder, inputs| cropped(EDGES, builder, inputs[0]));
        assert_eq!(of("3, 9, 3"), "it cuts 3 off its input of shape [3, 9, 3], expected less");
        assert_eq!(of("?, 2, 3"), "it cuts 3 off its input of shape [?, 2, 3], expected less");
        assert_eq!(of("9, 3"), "its input has shape [9, 3], expected [height, width, channels]");
    }
}
