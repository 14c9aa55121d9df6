//! `AutoContrast`, which stretches the contrast of an image at inference, too.

use crate::layers::Layer;
use crate::reader::Reader;

pub(super) fn auto_contrast(reader: &mut Reader) -> Layer {
    reader.data_format();
    if reader.is_channels_first() {
        // Keras computes over the same two axes, which then are not height and width.
        reader.fault("`data_format` is \"channels_first\", expected \"channels_last\"");
    }
    reader.ignore(&["bounding_box_format"]);
    reader.unset("factor");
    let range = reader.numbers("value_range").unwrap_or_else(|| vec![0.0, 255.0]);
    match range[..] {
        [low, high] if low < high => Layer::AutoContrast { range: [low, high] },
        _ => {
            reader.fault(format!("`value_range` is {range:?}, expected two numbers, the smaller first"));
            Layer::Identity
        }
    }
}
