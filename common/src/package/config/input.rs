//! `img_preproc_type` with `image_preproc_config`: from an image file to the model's input.

use serde_json::{Map, Value};

use super::{Preprocessing, PreprocessingKind, Problems, resize};

/// Largest side of a model's input, in pixels.
pub(super) const MAX_SIDE: u64 = 8192;

/// The values of `img_preproc_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    NormalizeAndPad,
    NoPrepro,
    Resize(FitKind),
}

/// How a resized image fits the model's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FitKind {
    Stretch,
    Letterbox,
    CenterCrop,
    ImageOpsFit,
}

const KINDS: [(&str, Kind); 6] = [
    ("normalize_and_pad", Kind::NormalizeAndPad),
    ("no_prepro", Kind::NoPrepro),
    ("stretch", Kind::Resize(FitKind::Stretch)),
    ("letterbox", Kind::Resize(FitKind::Letterbox)),
    ("center_crop", Kind::Resize(FitKind::CenterCrop)),
    ("image_ops_fit", Kind::Resize(FitKind::ImageOpsFit)),
];

pub(super) fn preprocessing(root: &Map<String, Value>, problems: &mut Problems) -> Option<Preprocessing> {
    let kind = problems.choice(root, "img_preproc_type", &KINDS);
    let known = match kind {
        Some(Kind::Resize(fit)) => resize::known_keys(fit),
        Some(Kind::NormalizeAndPad | Kind::NoPrepro) | None => vec!["input_shape", "normalization_factor"],
    };
    let section = problems.section(root, "image_preproc_config", &known)?;
    let input_shape = input_shape(section, problems);
    let kind = match kind {
        Some(Kind::NormalizeAndPad) => {
            if !section.contains_key("normalization_factor") {
                problems.add(
                    "`image_preproc_config.normalization_factor` is missing, expected a number such as 255",
                );
            }
            let factor = normalization_factor(section, problems);
            PreprocessingKind::NormalizeAndPad { normalization_factor: factor? }
        }
        Some(Kind::Resize(fit)) => {
            PreprocessingKind::Resize(resize::parse(fit, section, input_shape, problems)?)
        }
        Some(Kind::NoPrepro) => {
            normalization_factor(section, problems);
            PreprocessingKind::NoPrepro
        }
        None => {
            normalization_factor(section, problems);
            return None;
        }
    };
    Some(Preprocessing { input_shape: input_shape?, kind })
}

fn input_shape(section: &Map<String, Value>, problems: &mut Problems) -> Option<[usize; 3]> {
    let expected = "expected [height, width, channels] such as [224, 224, 3]";
    let Some(value) = section.get("input_shape") else {
        problems.add(format!("`image_preproc_config.input_shape` is missing, {expected}"));
        return None;
    };
    let sizes: Option<Vec<u64>> = value.as_array().and_then(|list| list.iter().map(Value::as_u64).collect());
    let sizes = sizes.filter(|sizes| sizes.iter().all(|side| (1..=MAX_SIDE).contains(side)));
    let shape = match sizes.as_deref() {
        // Keras omits the axis of channels in models for grey images.
        Some(&[height, width]) => [height, width, 1],
        Some(&[channels @ (1 | 3), height, width]) if !matches!(width, 1 | 3) => {
            problems.add(format!(
                "`image_preproc_config.input_shape` is {value}, expected [{height}, {width}, {channels}]: the channels \
                 come last here, also for a model whose input has them first"
            ));
            return None;
        }
        Some(&[height, width, channels]) => [height, width, channels],
        Some(&[values]) => {
            problems.add(format!(
                "`image_preproc_config.input_shape` is {value}, expected the image's [height, width, channels], such as \
                 [28, 28, 1] for 784: a model that takes {values} values in a row gets those of an image of as many"
            ));
            return None;
        }
        Some(_) | None => {
            problems.add(format!("`image_preproc_config.input_shape` is {value}, {expected}"));
            return None;
        }
    };
    if !matches!(shape[2], 1 | 3) {
        problems
            .add(format!("`image_preproc_config.input_shape` has {} channels, expected 1 or 3", shape[2]));
        return None;
    }
    let side = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    Some([side(shape[0]), side(shape[1]), side(shape[2])])
}

pub(super) fn normalization_factor(section: &Map<String, Value>, problems: &mut Problems) -> Option<f32> {
    let value = section.get("normalization_factor")?;
    #[expect(clippy::cast_possible_truncation, reason = "the model computes in float32")]
    let factor = value.as_f64().map(|f| f as f32).filter(|f| f.is_finite() && *f != 0.0);
    if factor.is_none() {
        problems.add(format!(
            "`image_preproc_config.normalization_factor` is {value}, expected a number other than 0"
        ));
    }
    factor
}
