//! Operations over images: patches, space to depth, resizing, RGB to greyscale and back.

use model::{Builder, Fault, Tensor, Value};

use super::products::{over_image, padding};
use crate::json::shown;
use crate::layers::windows::Moves;
use crate::layers::{
    Edges, Fit, Gather, Interpolation, Layer, LayerNorm, LayerNormKind, MatrixProduct, Operand, Padding,
    Resize, resizing,
};
use crate::reader::Reader;
use crate::shapes::describe;

/// Weights of red, green and blue in grey, in TensorFlow's and in Keras's operation (ITU-R BT.601).
const LUMA: [f32; 3] = [0.2989, 0.587, 0.114];

/// [`Layer::Patches`]: the values of each patch, row by row and channels last, as channels of one pixel.
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

impl Patches {
    pub(crate) fn lower(&self, builder: &mut Builder, x: Value) -> Result<Value, Fault> {
        let moves = Moves { strides: self.strides, dilation: self.dilation, padding: self.padding };
        builder.patches(x, moves.windows(&self.size))
    }
}

/// Reads an operation of this family. Returns `None` for any other.
pub(super) fn operation(class: &str, reader: &mut Reader) -> Option<Layer> {
    Some(match class {
        "tf.image.extract_patches" | "ops.ExtractPatches" => patches(reader),
        "tf.nn.space_to_depth" => Layer::SpaceToDepth { block_size: block_size(reader) },
        "tf.nn.depth_to_space" => Layer::DepthToSpace { block_size: block_size(reader) },
        "tf.image.resize" => {
            reader.subject();
            reader.unset("preserve_aspect_ratio");
            resize(reader, "method")
        }
        "ops.Resize" => {
            reader.subject();
            let resize = resizing::settings(reader);
            let size = size(reader);
            Layer::Resize(Resize { size, ..resize })
        }
        "tf.image.resize_with_pad" => resize_with_pad(reader),
        "tf.image.rgb_to_grayscale" | "ops.RGBToGrayscale" => rgb_to_grayscale(reader),
        "tf.image.grayscale_to_rgb" => grayscale_to_rgb(reader),
        "tf.image.per_image_standardization" => per_image_standardization(reader),
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

fn block_size(reader: &mut Reader) -> usize {
    reader.subject();
    if let Some(format) = reader.value("data_format").filter(|format| **format != "NHWC") {
        reader.fault(format!("`data_format` is {}, expected \"NHWC\"", shown(format)));
    }
    reader.size("block_size")
}

/// `size` of the result.
fn size(reader: &mut Reader) -> [usize; 2] {
    let Some(value) = reader.argument(1, &["size"]) else {
        reader.fault("it has no `size`");
        return [1, 1];
    };
    let side = |index: usize| {
        let side = value.get(index)?.as_u64().filter(|side| (1..1 << 31).contains(side))?;
        usize::try_from(side).ok()
    };
    let sides = side(0).zip(side(1)).filter(|_| value.as_array().is_some_and(|list| list.len() == 2));
    sides.map_or_else(
        || {
            reader.fault(format!("`size` is {}, expected [height, width], known before a run", shown(value)));
            [1, 1]
        },
        |(height, width)| [height, width],
    )
}

fn resize(reader: &mut Reader, method: &'static str) -> Layer {
    let interpolation = resizing::interpolation(reader, method, Interpolation::Bilinear);
    let antialias = reader.flag_or("antialias", false);
    Layer::Resize(Resize { size: size(reader), interpolation, antialias, fit: Fit::Stretch })
}

/// The image as large as fits, with black around it. Rounds in the order of `resize_with_pad` of TensorFlow's
/// `image_ops_impl.py`.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "TensorFlow divides sizes as float64 and cuts off"
)]
fn resize_with_pad(reader: &mut Reader) -> Layer {
    reader.subject();
    let wanted = [reader.size("target_height"), reader.size("target_width")];
    let interpolation = resizing::interpolation(reader, "method", Interpolation::Bilinear);
    let antialias = reader.flag_or("antialias", false);
    let Some(input) = reader.input() else {
        reader.unsure();
        return Layer::Identity;
    };
    let [Some(height), Some(width), _] = input[..] else {
        reader.fault(format!("its input has shape {}, expected an image of a known size", describe(input)));
        return Layer::Identity;
    };
    let image = [height as f64, width as f64];
    let ratio = (image[0] / wanted[0] as f64).max(image[1] / wanted[1] as f64);
    let exact = image.map(|side| side / ratio);
    let size = exact.map(|side| (side.floor() as usize).max(1));
    let before = [0, 1].map(|axis| ((wanted[axis] as f64 - exact[axis]) / 2.0).floor().max(0.0) as usize);
    let after = [0, 1].map(|axis| wanted[axis].saturating_sub(size[axis] + before[axis]));
    Layer::Sequential(vec![
        Layer::Resize(Resize { size, interpolation, antialias, fit: Fit::Stretch }),
        Layer::ZeroPadding2d(Edges { top: before[0], bottom: after[0], left: before[1], right: after[1] }),
    ])
}

/// One channel from three.
fn rgb_to_grayscale(reader: &mut Reader) -> Layer {
    reader.subject();
    reader.data_format();
    let weights = Tensor::new(&[3, 1], LUMA);
    let (left, right) = (Operand::Input(0), Operand::Constant(weights));
    Layer::MatrixProduct(MatrixProduct { left, right, transposed: [false; 2] })
}

/// Three equal channels from one.
fn grayscale_to_rgb(reader: &mut Reader) -> Layer {
    reader.subject();
    let Some(input) = reader.input() else {
        reader.unsure();
        return Layer::Identity;
    };
    if input.last() != Some(&Some(1)) {
        reader.fault(format!("its input has shape {}, expected 1 channel", describe(input)));
    }
    Layer::Gather(Gather { axis: input.len().saturating_sub(1), indices: [0; 3].into() })
}

/// `(x - mean) / max(standard deviation, 1 / sqrt(number of values))` of each image.
fn per_image_standardization(reader: &mut Reader) -> Layer {
    reader.subject();
    let Some(input) = reader.input() else {
        reader.unsure();
        return Layer::Identity;
    };
    let count = match input[..] {
        [Some(height), Some(width), Some(channels)] => {
            height.checked_mul(width).and_then(|pixels| pixels.checked_mul(channels))
        }
        _ => None,
    };
    let Some(count) = count else {
        reader.fault(format!("its input has shape {}, expected an image of a known size", describe(input)));
        return Layer::Identity;
    };
    #[expect(
        clippy::cast_precision_loss,
        reason = "it bounds a deviation, and no digit of it shows elsewhere"
    )]
    let epsilon = 1.0 / count as f32;
    let (kind, axes) = (LayerNormKind::VarianceFloor, vec![0, 1, 2]);
    Layer::LayerNorm(LayerNorm { kind, axes, gamma: None, beta: None, epsilon })
}
