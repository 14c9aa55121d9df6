//! Layers that add rows and columns to an image or crop some: `ZeroPadding2D`, `Cropping2D` and their 1D forms.

use serde_json::Value;

use crate::layers::{Edges, Layer, sequence};
use crate::reader::{MAX_SIZE, Reader, shown};

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

fn side(value: &Value) -> Option<[usize; 2]> {
    match value.as_array().map(Vec::as_slice) {
        Some([first, second]) => Some([count(first)?, count(second)?]),
        Some(_) => None,
        None => count(value).map(|both| [both, both]),
    }
}

fn count(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64().filter(|&count| count <= MAX_SIZE)?).ok()
}
