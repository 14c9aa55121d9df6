//! Resizing as a given framework does it, and normalization.

use serde_json::{Map, Value};

use super::Problems;
use super::input::{FitKind, MAX_SIDE, normalization_factor};

/// `stretch`, `letterbox`, `center_crop` and `image_ops_fit`: fits an image of any size to the model's input.
#[derive(Debug, Clone, PartialEq)]
pub struct Resize {
    /// How proportions change.
    pub fit: Fit,
    /// The framework that resamples, and whose decoding is used.
    pub resampling: Resampling,
    /// The channel order of the model's input.
    pub channel_order: ChannelOrder,
    /// Whether the file's orientation tag is applied.
    pub exif_orientation: bool,
    /// Allows decoding a JPEG at a half, a quarter or an eighth of its size, as long as its sides stay this many times
    /// the target's: Pillow's `Image.thumbnail` does it and calls it so. At least 1.
    pub reducing_gap: Option<f64>,
    /// How pixel values become the model's input.
    pub normalization: Normalization,
}

/// How an image's proportions change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fit {
    /// The image is stretched.
    Stretch,
    /// The image is scaled to fit, as `tf.image.resize_with_pad` does, and the rest of the canvas is filled with a
    /// pixel value, 0 to 255. An odd pixel goes to the bottom and the right.
    Letterbox {
        /// The value of every channel.
        fill: f32,
    },
    /// The image is cropped to the input's proportions about its centre, then scaled, as Keras's `crop_to_aspect_ratio`
    /// does.
    CropThenResize,
    /// As [`Fit::CropThenResize`], but the edges of the crop may lie between pixels, and the resampling sees pixels beyond
    /// them, as in Pillow's `ImageOps.fit`. Only with [`Resampling::Pillow`].
    CropBetweenPixels,
    /// The image is scaled until its shorter side has this size, then its centre is cropped, as
    /// `torchvision.transforms.Resize` and `CenterCrop` do. Not smaller than the input.
    ResizeThenCrop {
        /// In pixels.
        shorter_side: usize,
    },
}

/// A framework's resampling method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resampling {
    /// `tf.image.resize`, in float32, not rounded to integers.
    Tensorflow {
        /// The method.
        method: TensorflowMethod,
        /// Whether scaling down averages all covered pixels.
        antialias: bool,
    },
    /// `PIL.Image.resize`.
    Pillow(PillowFilter),
    /// `cv2.resize`.
    OpenCv(OpenCvInterpolation),
}

/// Methods of `tf.image.resize`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are TensorFlow's names")]
pub enum TensorflowMethod {
    Nearest,
    Bilinear,
    Bicubic,
    /// Never with antialiasing, since it averages itself.
    Area,
}

/// Filters of `PIL.Image.resize`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are Pillow's names")]
pub enum PillowFilter {
    Nearest,
    Box,
    Bilinear,
    Bicubic,
    Lanczos,
}

/// Interpolations of `cv2.resize`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are OpenCV's names")]
pub enum OpenCvInterpolation {
    Nearest,
    Linear,
    Cubic,
    Area,
}

/// The channel order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ChannelOrder {
    Rgb,
    Bgr,
}

/// `(value / factor - mean) / std`, for each channel in the model's order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalization {
    /// Divisor of the pixel values, 0 to 255; not 0.
    pub factor: f32,
    /// Subtracted after that.
    pub mean: [f32; 3],
    /// Divisor after that; not 0.
    pub std: [f32; 3],
}

impl Normalization {
    /// Pixel values unchanged.
    pub const NONE: Self = Self { factor: 1.0, mean: [0.0; 3], std: [1.0; 3] };
}

/// The names of the resampling methods in a config.
const RESAMPLINGS: [(&str, Resampling); 15] = {
    use Resampling::{OpenCv, Pillow, Tensorflow};
    use TensorflowMethod::{Area, Bicubic, Bilinear, Nearest};
    [
        ("tensorflow_nearest", Tensorflow { method: Nearest, antialias: false }),
        ("tensorflow_bilinear", Tensorflow { method: Bilinear, antialias: false }),
        ("tensorflow_bilinear_antialias", Tensorflow { method: Bilinear, antialias: true }),
        ("tensorflow_bicubic", Tensorflow { method: Bicubic, antialias: false }),
        ("tensorflow_bicubic_antialias", Tensorflow { method: Bicubic, antialias: true }),
        ("tensorflow_area", Tensorflow { method: Area, antialias: false }),
        ("pillow_nearest", Pillow(PillowFilter::Nearest)),
        ("pillow_box", Pillow(PillowFilter::Box)),
        ("pillow_bilinear", Pillow(PillowFilter::Bilinear)),
        ("pillow_bicubic", Pillow(PillowFilter::Bicubic)),
        ("pillow_lanczos", Pillow(PillowFilter::Lanczos)),
        ("opencv_nearest", OpenCv(OpenCvInterpolation::Nearest)),
        ("opencv_linear", OpenCv(OpenCvInterpolation::Linear)),
        ("opencv_cubic", OpenCv(OpenCvInterpolation::Cubic)),
        ("opencv_area", OpenCv(OpenCvInterpolation::Area)),
    ]
};

impl Resampling {
    /// Returns its name in a config.
    #[must_use]
    pub fn name(self) -> &'static str {
        RESAMPLINGS.iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }
}

/// Keras's `preprocess_input` modes: channel order and normalization.
const MODES: [(&str, (ChannelOrder, Normalization)); 3] = [
    ("tf", (ChannelOrder::Rgb, Normalization { factor: 127.5, mean: [1.0; 3], std: [1.0; 3] })),
    (
        "caffe",
        (ChannelOrder::Bgr, Normalization { factor: 1.0, mean: [103.939, 116.779, 123.68], std: [1.0; 3] }),
    ),
    (
        "torch",
        (
            ChannelOrder::Rgb,
            Normalization { factor: 255.0, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
        ),
    ),
];

/// Keys that all kinds have.
const COMMON: [&str; 9] = [
    "input_shape",
    "resampling",
    "channel_order",
    "exif_orientation",
    "reducing_gap",
    "preprocess_input",
    "normalization_factor",
    "mean",
    "std",
];

/// The keys of a kind.
pub(super) fn known_keys(kind: FitKind) -> Vec<&'static str> {
    let own = match kind {
        FitKind::Letterbox => Some("padding_value"),
        FitKind::CenterCrop => Some("resize_shorter_side"),
        FitKind::Stretch | FitKind::ImageOpsFit => None,
    };
    COMMON.into_iter().chain(own).collect()
}

/// Parses the settings of one of the kinds. Problems are collected.
pub(super) fn parse(
    kind: FitKind,
    section: &Map<String, Value>,
    input_shape: Option<[usize; 3]>,
    problems: &mut Problems,
) -> Option<Resize> {
    let resampling = problems.choice(section, "resampling", &RESAMPLINGS);
    if let (FitKind::ImageOpsFit, Some(Resampling::Tensorflow { .. } | Resampling::OpenCv(_))) =
        (kind, resampling)
    {
        problems.add(format!(
            "`image_preproc_config.resampling` is {}, expected one of Pillow's, such as `pillow_lanczos`: `image_ops_fit` \
             is a function of Pillow",
            section.get("resampling").unwrap_or(&Value::Null)
        ));
    }
    let fit = fit(kind, section, input_shape, problems);
    let numbers = numbers(section, input_shape, problems);
    let ordered = match section.get("channel_order") {
        None => None,
        Some(_) => problems.choice(
            section,
            "channel_order",
            &[("rgb", ChannelOrder::Rgb), ("bgr", ChannelOrder::Bgr)],
        ),
    };
    let exif = match section.get("exif_orientation") {
        None => None,
        Some(Value::Bool(apply)) => Some(*apply),
        Some(other) => {
            problems
                .add(format!("`image_preproc_config.exif_orientation` is {other}, expected true or false"));
            None
        }
    };
    let reducing_gap = match section.get("reducing_gap").map(|gap| (gap.as_f64(), gap)) {
        None => None,
        Some((Some(gap), _)) if gap >= 1.0 => Some(gap),
        Some((_, other)) => {
            problems.add(format!(
                "`image_preproc_config.reducing_gap` is {other}, expected a number of at least 1"
            ));
            None
        }
    };
    let (own_order, normalization) = numbers?;
    if let (Some(own), Some(said)) = (own_order, ordered)
        && own != said
    {
        problems.add(
            "`image_preproc_config.channel_order` is another one than that of `preprocess_input`, expected \
             one of the two keys",
        );
    }
    let resampling = resampling?;
    Some(Resize {
        fit: fit?,
        resampling,
        channel_order: own_order.or(ordered).unwrap_or(ChannelOrder::Rgb),
        // Of the three frameworks, only OpenCV applies orientation tags.
        exif_orientation: exif.unwrap_or(matches!(resampling, Resampling::OpenCv(_))),
        reducing_gap,
        normalization,
    })
}

fn fit(
    kind: FitKind,
    section: &Map<String, Value>,
    input_shape: Option<[usize; 3]>,
    problems: &mut Problems,
) -> Option<Fit> {
    match kind {
        FitKind::Letterbox => match section.get("padding_value").map(Value::as_f64) {
            None => Some(Fit::Letterbox { fill: 0.0 }),
            #[expect(clippy::cast_possible_truncation, reason = "the model computes in float32")]
            Some(Some(value)) if (0.0..=255.0).contains(&value) => {
                Some(Fit::Letterbox { fill: value as f32 })
            }
            Some(_) => {
                problems.add("`image_preproc_config.padding_value` is not a pixel value from 0 to 255");
                None
            }
        },
        FitKind::CenterCrop => match section.get("resize_shorter_side").map(Value::as_u64) {
            None => Some(Fit::CropThenResize),
            Some(Some(side)) if (1..=MAX_SIDE).contains(&side) => {
                let shorter_side = usize::try_from(side).unwrap_or(usize::MAX);
                if let Some([height, width, _]) = input_shape
                    && shorter_side < height.max(width)
                {
                    problems.add(format!(
                        "`image_preproc_config.resize_shorter_side` is {side}, expected at least the \
                         input's longer side, {}",
                        height.max(width)
                    ));
                }
                Some(Fit::ResizeThenCrop { shorter_side })
            }
            Some(_) => {
                problems.add("`image_preproc_config.resize_shorter_side` is not a number of pixels");
                None
            }
        },
        FitKind::Stretch => Some(Fit::Stretch),
        FitKind::ImageOpsFit => Some(Fit::CropBetweenPixels),
    }
}

/// The channel order and normalization of a mode.
fn numbers(
    section: &Map<String, Value>,
    input_shape: Option<[usize; 3]>,
    problems: &mut Problems,
) -> Option<(Option<ChannelOrder>, Normalization)> {
    if section.contains_key("preprocess_input") {
        let (order, numbers) = problems.choice(section, "preprocess_input", &MODES)?;
        for key in
            ["normalization_factor", "mean", "std"].into_iter().filter(|key| section.contains_key(*key))
        {
            problems.add(format!(
                "`image_preproc_config` has both `preprocess_input` and `{key}`, expected one of them"
            ));
        }
        if input_shape.is_some_and(|shape| shape[2] != 3) {
            problems.add("`image_preproc_config.preprocess_input` is for inputs of 3 channels");
        }
        return Some((Some(order), numbers));
    }
    let factor = match section.contains_key("normalization_factor") {
        true => normalization_factor(section, problems)?,
        false => 1.0,
    };
    let channels = input_shape.map_or(3, |shape| shape[2]);
    let mean = per_channel(section, "mean", channels, problems)?.unwrap_or([0.0; 3]);
    let std = per_channel(section, "std", channels, problems)?.unwrap_or([1.0; 3]);
    if std.contains(&0.0) {
        problems.add("`image_preproc_config.std` holds 0, expected other numbers");
        return None;
    }
    Some((None, Normalization { factor, mean, std }))
}

/// One number for all channels, or one per channel.
#[expect(clippy::option_option, reason = "the outer is a fault, the inner an absent key")]
fn per_channel(
    section: &Map<String, Value>,
    key: &str,
    channels: usize,
    problems: &mut Problems,
) -> Option<Option<[f32; 3]>> {
    let Some(value) = section.get(key) else { return Some(None) };
    #[expect(clippy::cast_possible_truncation, reason = "the model computes in float32")]
    let number = |value: &Value| value.as_f64().map(|n| n as f32).filter(|n| n.is_finite());
    let found = match value.as_array() {
        Some(list) if list.len() == channels => {
            let numbers: Option<Vec<f32>> = list.iter().map(number).collect();
            numbers.map(|numbers| {
                let mut all = [numbers[0]; 3];
                all[..channels].copy_from_slice(&numbers);
                all
            })
        }
        Some(_) => None,
        None => number(value).map(|one| [one; 3]),
    };
    if found.is_none() {
        problems.add(format!(
            "`image_preproc_config.{key}` is {value}, expected a number or one for each of {channels} channels"
        ));
    }
    found.map(Some)
}
