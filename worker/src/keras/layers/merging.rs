//! Layers with several inputs: `Add` and its kin, `Concatenate`. The merging ones have no settings.

use crate::keras::layers::Layer;
use crate::keras::reader::Reader;

pub(super) fn concatenate(reader: &mut Reader) -> Layer {
    Layer::Concatenate { axis: reader.integer_or("axis", -1) }
}
