//! Layers that change an image's height and width: `ZeroPadding2D`, `Cropping2D`, `UpSampling2D`.

use serde_json::Value;

use crate::keras::layers::{Edges, Interpolation, Layer};
use crate::keras::reader::{MAX_SIZE, Reader, shown};

pub(super) fn zero_padding(reader: &mut Reader) -> Layer {
    reader.data_format();
    Layer::ZeroPadding2d(edges(reader, "padding", 1))
}

pub(super) fn cropping(reader: &mut Reader) -> Layer {
    reader.data_format();
    Layer::Cropping2d(edges(reader, "cropping", 0))
}

pub(super) fn up_sampling(reader: &mut Reader) -> Layer {
    reader.data_format();
    let interpolation = match reader.value("interpolation") {
        None => Interpolation::Nearest,
        Some(value) if value == "nearest" => Interpolation::Nearest,
        Some(value) if value == "bilinear" => Interpolation::Bilinear,
        Some(value) => {
            reader
                .fault(format!("`interpolation` is {}, expected \"nearest\" or \"bilinear\"", shown(value)));
            Interpolation::Nearest
        }
    };
    Layer::UpSampling2d { factors: reader.pair_or("size", [2, 2]), interpolation }
}

/// One number for all edges, two for vertical and horizontal, or two pairs.
fn edges(reader: &mut Reader, key: &'static str, default: usize) -> Edges {
    let all = |size| Edges { top: size, bottom: size, left: size, right: size };
    let Some(value) = reader.value(key) else { return all(default) };
    let found = match value.as_array().map(Vec::as_slice) {
        Some([vertical, horizontal]) => side(vertical)
            .zip(side(horizontal))
            .map(|([top, bottom], [left, right])| Edges { top, bottom, left, right }),
        Some(_) => None,
        None => count(value).map(all),
    };
    found.unwrap_or_else(|| {
        reader.fault(format!("`{key}` is {}, expected rows and columns at each edge", shown(value)));
        all(default)
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
