//! Describes in words how a config processes images and the model's outputs.

use common::package::config::{
    ChannelOrder, Fit, LabelRule, Normalization, OutputActivation, Postprocessing, Preprocessing,
    PreprocessingKind, Resampling, Resize,
};
use common::package::{ModelConfig, ModelFormat};
use serde_json::Value;

/// Returns a config in one line.
pub(crate) fn summary(config: &ModelConfig) -> String {
    let (labels, rule) = (config.postprocessing.classes().len(), config.postprocessing.rule.name());
    let [height, width, channels] = config.preprocessing.input_shape;
    let kind = config.preprocessing.kind.name();
    format!("{kind} to {height}×{width}×{channels}, {rule} over {labels} labels")
}

/// Describes the preprocessing, step by step.
pub(crate) fn preprocessing(how: &Preprocessing) -> Vec<String> {
    let [height, width, channels] = how.input_shape;
    let grey = channels == 1;
    match &how.kind {
        PreprocessingKind::NormalizeAndPad { normalization_factor } => vec![
            decoded(ChannelOrder::Bgr, grey, true),
            format!(
                "scaled down to fit {height}×{width} where it is larger, with OpenCV's INTER_AREA, keeping its \
                 proportions"
            ),
            format!("centred on a black canvas of {height}×{width}"),
            format!("pixel values 0 to 255 divided by {normalization_factor}"),
        ],
        PreprocessingKind::NoPrepro => vec![
            decoded(ChannelOrder::Bgr, grey, true),
            format!("refused if it is not {height}×{width}"),
            "pixel values 0 to 255 as they are".to_owned(),
        ],
        PreprocessingKind::Resize(resize) => [
            Some(decoded(resize.channel_order, grey, resize.exif_orientation)),
            resize.reducing_gap.map(|gap| {
                format!("a JPEG at a half, a quarter or an eighth, if its sides stay {gap} times those that follow")
            }),
            Some(fitted(resize, height, width)),
            Some(normalized(&resize.normalization, channels)),
        ]
        .into_iter()
        .flatten()
        .collect(),
    }
}

/// Returns the preprocessing in half a line: channels, values, fit.
pub(crate) fn brief(how: &Preprocessing) -> String {
    let [height, width, channels] = how.input_shape;
    match &how.kind {
        PreprocessingKind::NormalizeAndPad { .. } | PreprocessingKind::NoPrepro => {
            preprocessing(how).join(", ")
        }
        PreprocessingKind::Resize(resize) => {
            let order = match (channels, resize.channel_order) {
                (1, _) => "grey",
                (_, ChannelOrder::Rgb) => "RGB",
                (_, ChannelOrder::Bgr) => "BGR",
            };
            let by = resampling(resize.resampling);
            let fit = match resize.fit {
                Fit::Stretch => format!("stretched to {height}×{width} with {by}"),
                Fit::Letterbox { .. }
                | Fit::CropThenResize
                | Fit::CropBetweenPixels
                | Fit::ResizeThenCrop { .. } => fitted(resize, height, width),
            };
            let values = normalized(&resize.normalization, channels);
            let values = values.strip_prefix("pixel values 0 to 255").unwrap_or(&values).trim();
            match values {
                "as they are" => format!("{order} 0–255, {fit}"),
                scaled => format!("{order} 0–255 {scaled}, {fit}"),
            }
        }
    }
}

fn decoded(order: ChannelOrder, grey: bool, is_rotated: bool) -> String {
    let channels = match (grey, order) {
        (true, _) => "grey",
        (false, ChannelOrder::Bgr) => "BGR",
        (false, ChannelOrder::Rgb) => "RGB",
    };
    let tag =
        if is_rotated { "rotated as its EXIF tag says" } else { "not rotated, whatever its EXIF tag says" };
    format!("decoded as {channels}, {tag}")
}

fn fitted(resize: &Resize, height: usize, width: usize) -> String {
    let by = resampling(resize.resampling);
    match resize.fit {
        Fit::Stretch => format!("stretched to {height}×{width} with {by}, whatever its proportions"),
        Fit::Letterbox { fill } => format!(
            "scaled to fit {height}×{width} with {by}, keeping its proportions, the rest filled with {fill}"
        ),
        Fit::CropThenResize => format!(
            "cropped to the proportions of {height}×{width} about its centre, then scaled to that with {by}"
        ),
        Fit::CropBetweenPixels => format!(
            "cropped to the proportions of {height}×{width} about its centre, between pixels too, then scaled to that with \
             {by}, as `ImageOps.fit`"
        ),
        Fit::ResizeThenCrop { shorter_side } => format!(
            "scaled until its shorter side is {shorter_side} with {by}, then cropped to {height}×{width} about its \
             centre"
        ),
    }
}

fn resampling(resampling: Resampling) -> String {
    let whose = match resampling {
        Resampling::Tensorflow { .. } => "TensorFlow's",
        Resampling::Pillow(_) => "Pillow's",
        Resampling::OpenCv(_) => "OpenCV's",
    };
    let method = resampling.name().split_once('_').map_or("", |(_, method)| method);
    format!("{whose} {}", method.replace('_', ", "))
}

fn normalized(numbers: &Normalization, channels: usize) -> String {
    let mut steps = Vec::new();
    if numbers.factor != 1.0 {
        steps.push(format!("divided by {}", numbers.factor));
    }
    if numbers.mean != [0.0; 3] {
        steps.push(format!("less {}", per_channel(&numbers.mean[..channels])));
    }
    if numbers.std != [1.0; 3] {
        steps.push(format!("divided by {}", per_channel(&numbers.std[..channels])));
    }
    if steps.is_empty() {
        return "pixel values 0 to 255 as they are".to_owned();
    }
    format!("pixel values 0 to 255 {}", steps.join(", then "))
}

/// Returns one number if all channels have the same.
fn per_channel(numbers: &[f32]) -> String {
    match numbers {
        [first, rest @ ..] if rest.iter().all(|number| number == first) => first.to_string(),
        _ => format!("{numbers:?} by channel"),
    }
}

/// Describes the postprocessing.
pub(crate) fn postprocessing(how: &Postprocessing) -> Vec<String> {
    let activation = match how.activation {
        OutputActivation::None => None,
        OutputActivation::Softmax => {
            Some("the outputs are logits: softmax turns them into scores".to_owned())
        }
        OutputActivation::Sigmoid => {
            Some("the outputs are logits: a sigmoid turns each into a score".to_owned())
        }
    };
    let labels = how.classes.len();
    let rule = match &how.rule {
        LabelRule::Argmax => format!("the result is the label with the largest of {labels} scores"),
        LabelRule::TopK { k } => {
            format!("the result is the label with the largest of {labels} scores, and the best {k}")
        }
        LabelRule::MultiLabel { thresholds } => format!(
            "the result is every label whose score is at least {}, and the best of {labels}",
            match thresholds.as_slice() {
                [first, rest @ ..] if rest.iter().all(|other| other == first) => first.to_string(),
                _ => "its own threshold".to_owned(),
            }
        ),
        LabelRule::Binary { threshold } => format!(
            "the result is `{}` where the one score is at least {threshold}, else `{}`",
            how.classes.get(1).map_or("", String::as_str),
            how.classes.first().map_or("", String::as_str),
        ),
    };
    let output = how.output_name.as_ref().map(|name| format!("of the model's outputs, `{name}` counts"));
    output.into_iter().chain(activation).chain([rule]).collect()
}

/// Returns the number of labels, and the first of them.
pub(crate) fn some_of(labels: &[Value]) -> String {
    const SHOWN: usize = 12;
    let first: Vec<_> = labels.iter().filter_map(Value::as_str).take(SHOWN).collect();
    let more = if labels.len() > SHOWN { ", …" } else { "" };
    format!("{}: {}{more}", labels.len(), first.join(", "))
}

/// Returns the model's format, and the program that wrote it.
pub(crate) fn format(format: ModelFormat, written_by: Option<&str>) -> String {
    let format = match format {
        ModelFormat::Hdf5 => "HDF5",
        ModelFormat::KerasArchive => ".keras archive",
        ModelFormat::SavedModel => "SavedModel folder",
    };
    match written_by {
        Some(program) => format!("{format}, written by {program}"),
        None => format.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(kind: &str, settings: &Value, says: &[&str]) {
        let config = json!({"img_preproc_type": kind, "image_preproc_config": settings,
            "output_postproc_type": "argmax", "output_config": {"output_classes": ["a", "b"]}});
        let config = ModelConfig::parse(config.to_string().as_bytes()).unwrap();
        assert_eq!(preprocessing(&config.preprocessing), says);
    }

    #[test]
    fn each_kind_of_preprocessing_is_told_step_by_step() {
        check(
            "normalize_and_pad",
            &json!({"input_shape": [224, 200, 3], "normalization_factor": 255}),
            &[
                "decoded as BGR, rotated as its EXIF tag says",
                "scaled down to fit 224×200 where it is larger, with OpenCV's INTER_AREA, keeping its proportions",
                "centred on a black canvas of 224×200",
                "pixel values 0 to 255 divided by 255",
            ],
        );
        check(
            "stretch",
            &json!({"input_shape": [8, 9, 1], "resampling": "tensorflow_bilinear_antialias"}),
            &[
                "decoded as grey, not rotated, whatever its EXIF tag says",
                "stretched to 8×9 with TensorFlow's bilinear, antialias, whatever its proportions",
                "pixel values 0 to 255 as they are",
            ],
        );
        check(
            "center_crop",
            &json!({"input_shape": [224, 224, 3], "resampling": "pillow_bilinear", "resize_shorter_side": 256,
                "normalization_factor": 255, "mean": [0.5, 0.25, 0.125], "std": 0.5}),
            &[
                "decoded as RGB, not rotated, whatever its EXIF tag says",
                "scaled until its shorter side is 256 with Pillow's bilinear, then cropped to 224×224 about its centre",
                "pixel values 0 to 255 divided by 255, then less [0.5, 0.25, 0.125] by channel, then divided by 0.5",
            ],
        );
    }

    #[test]
    fn half_a_line_tells_channels_values_and_fit() {
        for (kind, settings, says) in [
            (
                "stretch",
                json!({"input_shape": [8, 9, 3], "resampling": "tensorflow_bilinear"}),
                "RGB 0–255, stretched to 8×9 with TensorFlow's bilinear",
            ),
            (
                "stretch",
                json!({"input_shape": [8, 9, 1], "resampling": "pillow_nearest", "normalization_factor": 255}),
                "grey 0–255 divided by 255, stretched to 8×9 with Pillow's nearest",
            ),
            (
                "image_ops_fit",
                json!({"input_shape": [8, 9, 3], "resampling": "pillow_lanczos", "preprocess_input": "tf"}),
                "RGB 0–255 divided by 127.5, then less 1, cropped to the proportions of 8×9 about its centre, between \
                 pixels too, then scaled to that with Pillow's lanczos, as `ImageOps.fit`",
            ),
        ] {
            let config = json!({"img_preproc_type": kind, "image_preproc_config": settings,
                "output_postproc_type": "argmax", "output_config": {"output_classes": ["a", "b"]}});
            let config = ModelConfig::parse(config.to_string().as_bytes()).unwrap();
            assert_eq!(brief(&config.preprocessing), says);
        }
    }

    #[test]
    fn the_rule_for_labels_is_told() {
        let classes = vec!["cat".to_owned(), "dog".to_owned()];
        let told = |activation, rule| {
            postprocessing(&Postprocessing { classes: classes.clone(), output_name: None, activation, rule })
                .join("; ")
        };
        assert_eq!(
            told(OutputActivation::Softmax, LabelRule::Argmax),
            "the outputs are logits: softmax turns them into scores; \
             the result is the label with the largest of 2 scores"
        );
        assert_eq!(
            told(OutputActivation::None, LabelRule::Binary { threshold: 0.25 }),
            "the result is `dog` where the one score is at least 0.25, else `cat`"
        );
        assert!(
            told(OutputActivation::None, LabelRule::MultiLabel { thresholds: vec![0.1, 0.2] })
                .contains("at least its own threshold")
        );
        let output_name = Some("animal".to_owned());
        let (activation, rule) = (OutputActivation::None, LabelRule::Argmax);
        let named = postprocessing(&Postprocessing { classes, output_name, activation, rule });
        assert_eq!(named[0], "of the model's outputs, `animal` counts");
    }
}
