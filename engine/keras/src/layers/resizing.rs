//! Layers that resize an image: `UpSampling2D`, `UpSampling1D`, `Resizing`, `CenterCrop`, `RandomCrop`.

use model::{Builder, Fault, Interpolation, Size, Value};
use serde_json::Value as Json;

use super::cropping::{self, Edges};
use crate::architecture::Dialect;
use crate::json::shown;
use crate::layers::{Layer, sequence};
use crate::reader::Reader;
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
    let names: Vec<String> = known.map(|(name, _)| Json::from(*name).to_string()).collect();
    format!("one of {}", names.join(", "))
}

/// The image resized by whole factors.
pub(super) fn upsampled(
    factors: [usize; 2],
    interpolation: Interpolation,
    builder: &mut Builder,
    x: Value,
) -> Result<Value, Fault> {
    let [height, width, _] = builder.shape(x).image()?;
    let size = [height.times(factors[0])?, width.times(factors[1])?];
    builder.resize(x, model::Resize { size, interpolation, antialias: false })
}

impl Resize {
    pub(super) fn lower(&self, builder: &mut Builder, x: Value) -> Result<Value, Fault> {
        let fitted = match self.fit {
            Fit::Stretch => x,
            Fit::Crop => match fixed(builder, x)? {
                Some(image) => cropping::cropped(cropped_edges(image, self.size), builder, x)?,
                None => return of_open_image(self.size, builder, x),
            },
            Fit::Pad { value } => match fixed(builder, x)? {
                Some(image) => cropping::padded(padded_edges(image, self.size), value, builder, x)?,
                None => return of_open_image(self.size, builder, x),
            },
        };
        let size = self.size.map(Size::Known);
        let by = model::Resize { size, interpolation: self.interpolation, antialias: self.antialias };
        builder.resize(fitted, by)
    }
}

/// The centre of the image.
pub(super) fn centre(size: [usize; 2], builder: &mut Builder, x: Value) -> Result<Value, Fault> {
    let Some(image) = fixed(builder, x)? else { return of_open_image(size, builder, x) };
    let (Some(rows), Some(columns)) = (image[0].checked_sub(size[0]), image[1].checked_sub(size[1])) else {
        let interpolation = Interpolation::Bilinear;
        return Resize { size, interpolation, antialias: false, fit: Fit::Crop }.lower(builder, x);
    };
    let (top, left) = (rows / 2, columns / 2);
    let edges = Edges { top, bottom: rows - top, left, right: columns - left };
    cropping::cropped(edges, builder, x)
}

/// Height and width, where both are known.
fn fixed(builder: &Builder, x: Value) -> Result<Option<[usize; 2]>, Fault> {
    let [height, width, _] = builder.shape(x).image()?;
    Ok(height.known().zip(width.known()).map(|(height, width)| [height, width]))
}

/// An image of this size, made of one whose size is not known yet.
fn of_open_image(size: [usize; 2], builder: &mut Builder, x: Value) -> Result<Value, Fault> {
    let [height, width] = size.map(Size::Known);
    let shape = builder.shape(x).with(1, height).with(2, width);
    builder.unresolved(&[x], shape)
}

/// The size of an axis that has the wanted aspect ratio to the other axis, rounded as Keras does.
#[expect(clippy::cast_precision_loss, reason = "Keras computes it in float32")]
fn at_aspect_ratio(other: usize, wanted: usize, wanted_other: usize) -> usize {
    ((other.saturating_mul(wanted)) as f32 / wanted_other as f32) as usize
}

/// The edges cropped so that the image has the aspect ratio of `size`.
fn cropped_edges([height, width]: [usize; 2], size: [usize; 2]) -> Edges {
    let rows = at_aspect_ratio(width, size[0], size[1]).min(height).max(1);
    let columns = at_aspect_ratio(height, size[1], size[0]).min(width).max(1);
    let (top, left) = ((height - rows) / 2, (width - columns) / 2);
    Edges { top, bottom: height - rows - top, left, right: width - columns - left }
}

/// The edges padded so that the image has the aspect ratio of `size`, up to a pixel.
fn padded_edges([height, width]: [usize; 2], size: [usize; 2]) -> Edges {
    let rows = at_aspect_ratio(width, size[0], size[1]).max(height);
    let columns = at_aspect_ratio(height, size[1], size[0]).max(width);
    let (vertical, horizontal) = ((rows - height) / 2, (columns - width) / 2);
    Edges { top: vertical, bottom: vertical, left: horizontal, right: horizontal }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::lowered::check;

    #[test]
    fn an_image_of_another_aspect_ratio_is_cropped_before_it_is_resized() {
        let by = Resize { size: [4, 4], interpolation: Interpolation::Area, antialias: true, fit: Fit::Crop };
        check(
            &["5, 8, 3"],
            |builder, inputs| by.lower(builder, inputs[0]),
            "
            %0 = input() : [batch, 5, 8, 3]
            %1 = slice(%0, [:, :, 1:6, :]) : [batch, 5, 5, 3]
            %2 = resize(%1, area, antialias) : [batch, 4, 4, 3]
            outputs %2
            ",
        );
        check(
            &["5, ?, 3"],
            |builder, inputs| by.lower(builder, inputs[0]),
            "%0 = input() : [batch, 5, ?, 3]\n%1 = unresolved(%0) : [batch, 4, 4, 3]\noutputs %1",
        );
    }

    #[test]
    fn the_centre_is_cropped_or_resized_where_the_image_is_too_small() {
        check(
            &["7, 9, 3"],
            |builder, inputs| centre([4, 4], builder, inputs[0]),
            "
            %0 = input() : [batch, 7, 9, 3]
            %1 = slice(%0, [:, 1:5, 2:6, :]) : [batch, 4, 4, 3]
            outputs %1
            ",
        );
        check(
            &["3, 9, 3"],
            |builder, inputs| centre([4, 4], builder, inputs[0]),
            "
            %0 = input() : [batch, 3, 9, 3]
            %1 = slice(%0, [:, :, 3:6, :]) : [batch, 3, 3, 3]
            %2 = resize(%1, bilinear) : [batch, 4, 4, 3]
            outputs %2
            ",
        );
    }

    #[test]
    fn crops_and_padding_are_centred() {
        // As `keras.layers.Resizing` finds its boxes.
        let edges = |top, bottom, left, right| Edges { top, bottom, left, right };
        assert_eq!(cropped_edges([5, 8], [4, 4]), edges(0, 0, 1, 2));
        assert_eq!(cropped_edges([9, 4], [2, 4]), edges(3, 4, 0, 0));
        assert_eq!(cropped_edges([1, 900], [1, 2]), edges(0, 0, 449, 449));
        assert_eq!(cropped_edges([900, 1], [1, 2]), edges(449, 450, 0, 0));
        assert_eq!(padded_edges([5, 8], [4, 4]), edges(1, 1, 0, 0));
        assert_eq!(padded_edges([9, 4], [2, 4]), edges(0, 0, 7, 7));
    }
}
