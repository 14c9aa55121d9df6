//! Layers that keep every value and change the shape: `Flatten`, `Reshape`, `Permute`.

use crate::keras::layers::Layer;
use crate::keras::reader::Reader;

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
