//! `AutoContrast`, which stretches the contrast of an image at inference, too.

use model::{Binary, Builder, Fault, Reduction, Unary, Value};

use crate::layers::Layer;
use crate::reader::Reader;

/// The range in which Keras computes.
const COLOURS: [f32; 2] = [0.0, 255.0];

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

/// Stretches the contrast as Keras does: in the range 0 to 255, then back. A constant channel stays as it is, since its
/// range is zero.
pub(super) fn stretched(range: [f32; 2], builder: &mut Builder, x: Value) -> Result<Value, Fault> {
    builder.shape(x).image()?;
    let colours = moved(builder, x, range, COLOURS)?;
    let low = builder.reduce_kept(Reduction::Min, colours, &[1, 2])?;
    let high = builder.reduce_kept(Reduction::Max, colours, &[1, 2])?;
    let spread = builder.binary(Binary::Subtract, high, low)?;
    let whole = builder.scalar(COLOURS[1])?;
    let scale = builder.binary(Binary::Divide, whole, spread)?;
    let darkest = builder.binary(Binary::Multiply, low, scale)?;
    let stretched = builder.binary(Binary::Multiply, colours, scale)?;
    let stretched = builder.binary(Binary::Subtract, stretched, darkest)?;
    let one_colour = builder.unary(Unary::IsNan, stretched)?;
    let stretched = builder.clip(stretched, COLOURS[0], COLOURS[1])?;
    let stretched = moved(builder, stretched, COLOURS, range)?;
    builder.select(one_colour, x, stretched)
}

fn moved(builder: &mut Builder, x: Value, from: [f32; 2], to: [f32; 2]) -> Result<Value, Fault> {
    if from == to {
        return Ok(x);
    }
    let zero_based = builder.with_scalar(Binary::Subtract, x, from[0])?;
    let unit = builder.with_scalar(Binary::Divide, zero_based, from[1] - from[0])?;
    let scaled = builder.with_scalar(Binary::Multiply, unit, to[1] - to[0])?;
    builder.with_scalar(Binary::Add, scaled, to[0])
}
