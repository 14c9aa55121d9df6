//! Operations over images: patches, blocks, other sizes.

use super::products::{over_image, padding};
use crate::keras::layers::{Layer, Padding};
use crate::keras::reader::{Reader, shown};

/// [`Layer::Patches`]: the values of each window, row by row and channels last, as channels of one pixel.
#[derive(Debug, Clone)]
pub struct Patches {
    /// Height and width.
    pub size: [usize; 2],
    /// Vertical, horizontal.
    pub strides: [usize; 2],
    /// Vertical, horizontal.
    pub dilation: [usize; 2],
    /// At the edges.
    pub padding: Padding,
}

/// [`Layer::Blocks`]: squares of this many pixels on each side, and pixels of more channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocks {
    /// A block becomes one pixel.
    IntoChannels(usize),
    /// A pixel becomes a block.
    OutOfChannels(usize),
}

/// Reads an operation of this kind; `None` where it is none.
pub(super) fn operation(class: &str, reader: &mut Reader) -> Option<Layer> {
    Some(match class {
        "tf.image.extract_patches" | "ops.ExtractPatches" => patches(reader),
        "tf.nn.space_to_depth" => blocks(reader, Blocks::IntoChannels),
        "tf.nn.depth_to_space" => blocks(reader, Blocks::OutOfChannels),
        _ => return None,
    })
}

fn patches(reader: &mut Reader) -> Layer {
    reader.subject();
    let size = over_image(reader, &["sizes", "size"]);
    let strides = reader.value("strides").is_some();
    let strides = if strides { over_image(reader, &["strides"]) } else { size };
    let dilation = over_image(reader, &["rates", "dilation_rate"]);
    Layer::Patches(Patches { size, strides, dilation, padding: padding(reader) })
}

fn blocks(reader: &mut Reader, of: fn(usize) -> Blocks) -> Layer {
    reader.subject();
    if let Some(format) = reader.value("data_format").filter(|format| **format != "NHWC") {
        reader.fault(format!("`data_format` is {}, expected \"NHWC\"", shown(format)));
    }
    Layer::Blocks(of(reader.size("block_size")))
}
