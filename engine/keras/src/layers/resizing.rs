//! Layers that resize an image: `UpSampling2D`, `UpSampling1D`, `Resizing`, `CenterCrop`, `RandomCrop`.

use serde_json::Value;

use crate::architecture::Dialect;
use crate::layers::{Layer, sequence};
use crate::reader::{Reader, shown};
use crate::shapes::describe;

/// [`Layer::Resize`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resize {
    /// Height and width of the output.
    pub size: [usize; 2],
    /// How new pixels are computed.
    pub interpolation: Interpolation,
    /// Whether downsampling averages all pixels that an output pixel covers.
    pub antialias: bool,
    /// How an image of another aspect ratio is treated.
    pub fit: Fit,
}

/// How an image of another aspect ratio than the output's is treated before it is resized.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fit {
    /// It is stretched.
    Stretch,
    /// It is cropped to the largest centred part of the output's aspect ratio.
    Crop,
    /// It is padded to the output's aspect ratio.
    Pad {
        /// The value of the padding.
        value: f32,
    },
}

/// Methods of interpolation. All have half-pixel centres.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interpolation {
    /// Nearest neighbour.
    Nearest,
    /// Bilinear, of the 2×2 nearest pixels.
    Bilinear,
    /// Bicubic, of the 4×4 nearest pixels, with Keys's kernel.
    Bicubic,
    /// The mean of the area that a pixel covers.
    Area,
    /// Lanczos, with a kernel of 6 pixels.
    Lanczos3,
    /// Lanczos, with a kernel of 10 pixels.
    Lanczos5,
    /// A Gaussian kernel.
    Gaussian,
    /// Bicubic, of the 4×4 nearest pixels, with the kernel of Mitchell and Netravali.
    MitchellCubic,
}

pub(super) fn up_sampling(reader: &mut Reader) -> Layer {
    reader.data_format();
    let interpolation = interpolation(reader, "interpolation", Interpolation::Nearest);
    Layer::UpSampling2d { factors: reader.pair_or("size", [2, 2]), interpolation }
}

pub(super) fn up_sampling_1d(reader: &mut Reader) -> Layer {
    let factors = sequence::for_image(reader.sizes_or("size", [2]), 1);
    sequence::layer::<1>(Layer::UpSampling2d { factors, interpolation: Interpolation::Nearest })
}

pub(super) fn resizing(reader: &mut Reader) -> Layer {
    let size = [reader.size("height"), reader.size("width")];
    Layer::Resize(Resize { size, ..settings(reader) })
}

/// Reads the settings, without the size.
pub(super) fn settings(reader: &mut Reader) -> Resize {
    check_image_settings(reader);
    let interpolation = interpolation(reader, "interpolation", Interpolation::Bilinear);
    let antialias = reader.flag_or("antialias", false);
    let crop = reader.flag_or("crop_to_aspect_ratio", false);
    let pad = reader.flag_or("pad_to_aspect_ratio", false);
    if let Some(mode) = reader.value("fill_mode").filter(|mode| *mode != "constant") {
        reader.fault(format!("`fill_mode` is {}, expected \"constant\"", shown(mode)));
    }
    let value = reader.number_or("fill_value", 0.0);
    if crop && pad {
        reader.fault("both `crop_to_aspect_ratio` and `pad_to_aspect_ratio` are true, expected one of them");
    }
    let fit = match (crop, pad) {
        (true, _) => Fit::Crop,
        (false, true) => Fit::Pad { value },
        (false, false) => Fit::Stretch,
    };
    Resize { size: [1, 1], interpolation, antialias, fit }
}

pub(super) fn center_crop(reader: &mut Reader) -> Layer {
    check_image_settings(reader);
    Layer::CenterCrop { size: [reader.size("height"), reader.size("width")] }
}

/// At inference Keras 2 crops the centre and resizes it. Early versions of Keras 3 did the same. Later ones return the whole
/// image, whatever output shape they declare. All agree only where there is nothing to crop.
pub(super) fn random_crop(reader: &mut Reader) -> Layer {
    check_image_settings(reader);
    reader.ignore(&["seed", "rng_type"]);
    let size = [reader.size("height"), reader.size("width")];
    match (reader.dialect, reader.input()) {
        (Dialect::Keras2, _) => Layer::Resize(Resize {
            size,
            interpolation: Interpolation::Bilinear,
            antialias: false,
            fit: Fit::Crop,
        }),
        (Dialect::Keras3, Some(input)) if input.get(..2) != Some(&size.map(Some)) => {
            reader.fault(format!(
                "its input has shape {}, expected its own {} by {}: versions of Keras 3 differ in what else it does",
                describe(input),
                size[0],
                size[1]
            ));
            Layer::Identity
        }
        (Dialect::Keras3, _) => Layer::Identity,
    }
}

/// Checks `data_format`, ignores settings for bounding boxes, and refuses random augmentation.
fn check_image_settings(reader: &mut Reader) {
    reader.data_format();
    reader.ignore(&["bounding_box_format"]);
    reader.unset("factor");
}

pub(super) fn interpolation(reader: &mut Reader, key: &'static str, default: Interpolation) -> Interpolation {
    let Some(value) = reader.value(key) else { return default };
    let name = value.as_str().map(str::to_lowercase);
    let found = name.as_deref().and_then(by_name);
    found.filter(|found| is_known_to(*found, reader.dialect)).unwrap_or_else(|| {
        reader.fault(format!("`{key}` is {}, expected {}", shown(value), names(reader.dialect)));
        default
    })
}

const ALL: [(&str, Interpolation); 8] = [
    ("nearest", Interpolation::Nearest),
    ("bilinear", Interpolation::Bilinear),
    ("bicubic", Interpolation::Bicubic),
    ("area", Interpolation::Area),
    ("lanczos3", Interpolation::Lanczos3),
    ("lanczos5", Interpolation::Lanczos5),
    ("gaussian", Interpolation::Gaussian),
    ("mitchellcubic", Interpolation::MitchellCubic),
];

fn by_name(name: &str) -> Option<Interpolation> {
    ALL.iter().find(|(known, _)| *known == name).map(|(_, interpolation)| *interpolation)
}

fn is_known_to(interpolation: Interpolation, dialect: Dialect) -> bool {
    let only_old = matches!(interpolation, Interpolation::Gaussian | Interpolation::MitchellCubic);
    dialect == Dialect::Keras2 || !only_old
}

fn names(dialect: Dialect) -> String {
    let known = ALL.iter().filter(|(_, interpolation)| is_known_to(*interpolation, dialect));
    let names: Vec<String> = known.map(|(name, _)| Value::from(*name).to_string()).collect();
    format!("one of {}", names.join(", "))
}
