//! Parses `NAME_config.json` into a [`ModelConfig`], or returns all its problems.

use std::path::Path;

use serde_json::{Map, Value};

mod input;
mod labels;
mod output;
mod resize;

use self::labels::LabelFiles;

pub use self::labels::{ClassesFile, read as read_labels};
pub use self::output::{LabelRule, OutputActivation, Postprocessing};
pub use self::resize::{
    ChannelOrder, Fit, Normalization, OpenCvInterpolation, PillowFilter, Resampling, Resize, TensorflowMethod,
};

/// A validated package config.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// How an image file becomes the model's input.
    pub preprocessing: Preprocessing,
    /// How the model's output becomes labels.
    pub postprocessing: Postprocessing,
    /// `precision`: the number format in which the model computes.
    pub precision: Precision,
    /// `model_name` as written; only the folder's name counts.
    pub model_name: Option<String>,
    /// Creation time, as written.
    pub creation_time: Option<String>,
    /// Comments of the author.
    pub comments: Option<String>,
    /// Warnings: one sentence each, for the author of the package.
    pub remarks: Vec<String>,
}

/// The number format in which a model computes, if the machine supports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// `float32`, as Keras does.
    #[default]
    Float32,
    /// `bfloat16` in convolutions, about 3 decimal digits: faster on CPUs with instructions for it, and float32 on
    /// others.
    Bfloat16,
}

impl Precision {
    /// Returns its name in a config.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Bfloat16 => "bfloat16",
        }
    }
}

/// How an image file becomes the model's input.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocessing {
    /// Height, width and channels of the model's input. A config may omit the one channel of grey images.
    pub input_shape: [usize; 3],
    /// How an image is fitted to that shape.
    pub kind: PreprocessingKind,
}

/// `img_preproc_type` with its settings.
#[derive(Debug, Clone, PartialEq)]
pub enum PreprocessingKind {
    /// `normalize_and_pad`: centred on black, scaled down first if larger, divided by the factor.
    NormalizeAndPad {
        /// Divisor of the pixel values (0 to 255); finite and not 0.
        normalization_factor: f32,
    },
    /// `no_prepro`: the decoded pixel values unchanged; another size is the image's error.
    NoPrepro,
    /// `stretch`, `letterbox`, `center_crop` and `image_ops_fit`.
    Resize(Resize),
}

impl Preprocessing {
    /// Returns whether the model's input are pixel values, each divided by one factor.
    #[must_use]
    pub fn gives_pixel_values(&self) -> bool {
        matches!(self.kind, PreprocessingKind::NormalizeAndPad { .. } | PreprocessingKind::NoPrepro)
    }
}

impl PreprocessingKind {
    /// Returns its name in a config.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::NormalizeAndPad { .. } => "normalize_and_pad",
            Self::NoPrepro => "no_prepro",
            Self::Resize(resize) => match resize.fit {
                Fit::Stretch => "stretch",
                Fit::Letterbox { .. } => "letterbox",
                Fit::CropThenResize | Fit::ResizeThenCrop { .. } => "center_crop",
                Fit::CropBetweenPixels => "image_ops_fit",
            },
        }
    }
}

/// The keys of a config. Unknown keys cause a warning.
const KEYS: [&str; 8] = [
    "model_name",
    "img_preproc_type",
    "image_preproc_config",
    "output_postproc_type",
    "output_config",
    "precision",
    "creation_time",
    "comments",
];

/// The byte order mark that some editors put before a text.
pub(super) const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

impl ModelConfig {
    /// Parses a config without a package: it must contain its labels.
    ///
    /// # Errors
    /// All problems, one sentence each.
    pub fn parse(json: &[u8]) -> Result<Self, Vec<String>> {
        read(json, LabelFiles::none()).map(|(config, _)| config)
    }

    /// Parses the config of the package in `folder`, and its file of labels if there is one. Blocks on disk.
    ///
    /// # Errors
    /// All problems, one sentence each.
    pub fn parse_in(folder: &Path, json: &[u8]) -> Result<(Self, Option<ClassesFile>), Vec<String>> {
        read(json, LabelFiles::of_package(folder))
    }
}

fn read(json: &[u8], files: LabelFiles<'_>) -> Result<(ModelConfig, Option<ClassesFile>), Vec<String>> {
    let json = json.strip_prefix(BYTE_ORDER_MARK).unwrap_or(json);
    let root: Value =
        serde_json::from_slice(json).map_err(|e| vec![format!("the config is not JSON: {e}")])?;
    let Value::Object(root) = root else {
        return Err(vec![format!("the config is {}, expected a JSON object", describe(&root))]);
    };
    let mut problems = Problems(Vec::new());
    let preprocessing = input::preprocessing(&root, &mut problems);
    let (postprocessing, file) = output::parse(&root, files, &mut problems);
    let precision = precision(&root, &mut problems);
    let text = |key: &str| root.get(key).and_then(Value::as_str).map(str::to_owned);
    match (preprocessing, postprocessing) {
        (Some(preprocessing), Some(postprocessing)) if problems.0.is_empty() => {
            let remarks = unknown_keys(&root).chain(labels::remarks(postprocessing.classes())).collect();
            let config = ModelConfig {
                remarks,
                preprocessing,
                postprocessing,
                precision,
                model_name: text("model_name"),
                creation_time: text("creation_time"),
                comments: text("comments"),
            };
            Ok((config, file))
        }
        _ => Err(problems.0),
    }
}

fn unknown_keys(root: &Map<String, Value>) -> impl Iterator<Item = String> {
    root.keys().filter(|key| !KEYS.contains(&key.as_str())).map(|key| {
        format!(
            "the config has the unknown key `{key}`, which is not looked at; known are `{}`",
            KEYS.join("`, `")
        )
    })
}

fn precision(root: &Map<String, Value>, problems: &mut Problems) -> Precision {
    const KNOWN: [Precision; 2] = [Precision::Float32, Precision::Bfloat16];
    if !root.contains_key("precision") {
        return Precision::default();
    }
    let known = KNOWN.map(|precision| (precision.name(), precision));
    problems.choice(root, "precision", &known).unwrap_or_default()
}

/// Collects problems, so that all are reported at once.
struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, problem: impl Into<String>) {
        self.0.push(problem.into());
    }

    /// What the value of `key` stands for, which has to be one of `known`.
    fn choice<T: Copy>(
        &mut self,
        root: &Map<String, Value>,
        key: &str,
        known: &[(&'static str, T)],
    ) -> Option<T> {
        let names = || known.iter().map(|(name, _)| *name).collect::<Vec<_>>().join("`, `");
        let expected = || format!("expected one of `{}`", names());
        match root.get(key) {
            None => self.add(format!("`{key}` is missing, {}", expected())),
            Some(value) => {
                let found = value.as_str().and_then(|text| known.iter().find(|(name, _)| *name == text));
                if let Some((_, choice)) = found {
                    return Some(*choice);
                }
                self.add(format!("`{key}` is {value}, {}", expected()));
            }
        }
        None
    }

    /// Returns the object under `key`, which may only have the keys `known`.
    fn section<'a>(
        &mut self,
        root: &'a Map<String, Value>,
        key: &str,
        known: &[&str],
    ) -> Option<&'a Map<String, Value>> {
        match root.get(key) {
            Some(Value::Object(section)) => {
                for unknown in section.keys().filter(|k| !known.contains(&k.as_str())) {
                    self.add(format!(
                        "`{key}` has the unknown key `{unknown}`, known are `{}`",
                        known.join("`, `")
                    ));
                }
                Some(section)
            }
            Some(other) => {
                self.add(format!("`{key}` is {}, expected an object", describe(other)));
                None
            }
            None => {
                self.add(format!("`{key}` is missing, expected an object with `{}`", known.join("`, `")));
                None
            }
        }
    }
}

fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(list) if list.is_empty() => "an empty list",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = r#"{"model_name": "animals_classifier_v0", "img_preproc_type": "normalize_and_pad",
        "image_preproc_config": {"input_shape": [224, 200, 3], "normalization_factor": 255},
        "output_postproc_type": "argmax", "output_config": {"output_classes": ["cat", "dog", 3]},
        "creation_time": "2022-04-26 10:45:30", "comments": "c", "anything": {"else": 1}}"#;

    #[test]
    fn a_config_of_the_replaced_service_is_read() {
        let config = ModelConfig::parse(SOUND.as_bytes()).unwrap();
        assert_eq!(config.preprocessing.input_shape, [224, 200, 3]);
        assert_eq!(
            config.preprocessing.kind,
            PreprocessingKind::NormalizeAndPad { normalization_factor: 255.0 }
        );
        assert_eq!(config.postprocessing.classes(), ["cat", "dog", "3"]);
        assert_eq!(config.creation_time.as_deref(), Some("2022-04-26 10:45:30"));
    }

    #[test]
    fn what_is_odd_and_no_fault_is_remarked_on() {
        let remarks = |text: &str| ModelConfig::parse(text.as_bytes()).unwrap().remarks;
        let known = "known are `model_name`, `img_preproc_type`, `image_preproc_config`, `output_postproc_type`, \
            `output_config`, `precision`, `creation_time`, `comments`";
        assert_eq!(
            remarks(SOUND),
            [format!("the config has the unknown key `anything`, which is not looked at; {known}")]
        );
        let sound = SOUND.replace(r#", "anything": {"else": 1}"#, "");
        assert_eq!(remarks(&sound), [""; 0]);
        assert_eq!(remarks(&format!("\u{feff}{sound}")), [""; 0]);
        assert_eq!(
            remarks(
                &sound.replace(r#"["cat", "dog", 3]"#, r#"["cat", " ", "dog", "cat", "", "dog", "cat"]"#)
            ),
            [
                "the labels of outputs 1 and 4 are blank (counted from 0)",
                "the label `cat` stands for outputs 0, 3 and 6 (counted from 0)",
                "the label `dog` stands for outputs 2 and 5 (counted from 0)",
            ]
        );
    }

    #[test]
    fn the_shape_is_that_of_the_image() {
        let read = |shape: &str| {
            let config = ModelConfig::parse(SOUND.replace("[224, 200, 3]", shape).as_bytes());
            config.map(|config| config.preprocessing.input_shape)
        };
        assert_eq!(read("[28, 20]").unwrap(), [28, 20, 1]);
        assert_eq!(read("[28, 20, 1]").unwrap(), [28, 20, 1]);
        assert_eq!(read("[3, 3, 3]").unwrap(), [3, 3, 3]);
        assert_eq!(read("[1, 20, 3]").unwrap(), [1, 20, 3]);
        let refused = |shape: &str, says: &str| {
            let problems = read(shape).unwrap_err();
            assert!(problems.len() == 1 && problems[0].contains(says), "{problems:?}");
        };
        refused("[3, 10, 12]", "is [3,10,12], expected [10, 12, 3]: the channels come last here");
        refused("[784]", "expected the image's [height, width, channels], such as [28, 28, 1] for 784");
        refused("[28, 20, 4]", "has 4 channels, expected 1 or 3");
        refused("[1, 2, 3, 4]", "expected [height, width, channels] such as");
        refused("[]", "expected [height, width, channels] such as");
        refused("[0, 20]", "expected [height, width, channels] such as");
    }

    #[test]
    fn no_prepro_needs_no_factor() {
        let text =
            SOUND.replace("normalize_and_pad", "no_prepro").replace(r#", "normalization_factor": 255"#, "");
        assert_eq!(
            ModelConfig::parse(text.as_bytes()).unwrap().preprocessing.kind,
            PreprocessingKind::NoPrepro
        );
    }

    #[test]
    fn a_package_may_ask_for_another_precision() {
        for (setting, expected) in [
            ("", Some(Precision::Float32)),
            (r#", "precision": "float32""#, Some(Precision::Float32)),
            (r#", "precision": "bfloat16""#, Some(Precision::Bfloat16)),
            (r#", "precision": "float8""#, None),
            (r#", "precision": null"#, None),
        ] {
            let text = format!("{}{setting}}}", SOUND.strip_suffix('}').unwrap());
            let config = ModelConfig::parse(text.as_bytes());
            assert_eq!(config.as_ref().ok().map(|config| config.precision), expected, "{setting}");
            if let Err(problems) = config {
                assert!(problems[0].ends_with("expected one of `float32`, `bfloat16`"), "{problems:?}");
            }
        }
    }

    #[test]
    fn a_reducing_gap_is_a_number_of_at_least_1() {
        for (setting, expected) in [
            ("", Ok(None)),
            (r#", "reducing_gap": 2"#, Ok(Some(2.0))),
            (r#", "reducing_gap": 0.9"#, Err("is 0.9, expected a number of at least 1")),
            (r#", "reducing_gap": true"#, Err("is true, expected a number of at least 1")),
        ] {
            let text = format!(
                r#"{{"img_preproc_type": "stretch", "image_preproc_config": {{"input_shape": [2, 2, 3],
                "resampling": "pillow_bilinear"{setting}}}, "output_postproc_type": "argmax",
                "output_config": {{"output_classes": ["a"]}}}}"#
            );
            match (ModelConfig::parse(text.as_bytes()), expected) {
                (Ok(config), Ok(gap)) => {
                    let PreprocessingKind::Resize(resize) = config.preprocessing.kind else {
                        panic!("{text}")
                    };
                    assert_eq!(resize.reducing_gap, gap);
                }
                (Err(problems), Err(says)) => assert!(problems[0].ends_with(says), "{problems:?}"),
                (found, _) => panic!("{setting}: {found:?}"),
            }
        }
    }

    #[test]
    fn image_ops_fit_is_pillows_own() {
        let read = |resampling: &str| {
            let text = format!(
                r#"{{"img_preproc_type": "image_ops_fit", "image_preproc_config": {{"input_shape": [2, 2, 3],
                "resampling": "{resampling}"}}, "output_postproc_type": "argmax",
                "output_config": {{"output_classes": ["a"]}}}}"#
            );
            ModelConfig::parse(text.as_bytes()).map(|config| config.preprocessing.kind.name())
        };
        assert_eq!(read("pillow_lanczos"), Ok("image_ops_fit"));
        for other in ["tensorflow_bilinear", "opencv_area"] {
            let problems = read(other).unwrap_err();
            assert!(
                problems[0].contains("expected one of Pillow's, such as `pillow_lanczos`"),
                "{problems:?}"
            );
        }
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let text = r#"{"img_preproc_type": "stretch_it", "image_preproc_config": {"input_shape": [0, 2, 3],
            "normalisation_factor": 255, "normalization_factor": 0}, "output_config": {"output_classes": []}}"#;
        let problems = ModelConfig::parse(text.as_bytes()).unwrap_err();
        let expected = [
            "`img_preproc_type` is \"stretch_it\"",
            "unknown key `normalisation_factor`, known are `input_shape`, `normalization_factor`",
            "`image_preproc_config.input_shape` is [0,2,3]",
            "`image_preproc_config.normalization_factor` is 0",
            "`output_postproc_type` is missing, expected one of `argmax`, `top_k`, `multi_label`, `binary`",
            "`output_config.output_classes` is an empty list",
        ];
        assert_eq!(problems.len(), expected.len(), "{problems:#?}");
        for (problem, start) in problems.iter().zip(expected) {
            assert!(problem.contains(start), "{problem:?} should hold {start:?}");
        }
    }

    #[test]
    fn what_is_not_a_config_is_said_to_be_none() {
        for (text, says) in [
            ("", "not JSON"),
            ("{", "not JSON"),
            ("[]", "an empty list, expected a JSON object"),
            ("{}", "`img_preproc_type` is missing"),
        ] {
            let problems = ModelConfig::parse(text.as_bytes()).unwrap_err();
            assert!(problems[0].contains(says), "{problems:?}");
        }
    }
}
