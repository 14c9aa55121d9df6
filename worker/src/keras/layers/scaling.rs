//! `Rescaling`.

use crate::keras::layers::Layer;
use crate::keras::reader::Reader;

pub(super) fn rescaling(reader: &mut Reader) -> Layer {
    let scale = reader.numbers("scale");
    if scale.is_none() {
        reader.fault("its config has no `scale` of numbers");
    }
    Layer::Rescaling {
        scale: scale.unwrap_or_default(),
        offset: reader.numbers("offset").unwrap_or_else(|| vec![0.0]),
    }
}
