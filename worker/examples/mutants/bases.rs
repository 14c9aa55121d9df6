//! The valid files that mutants are made from.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// A valid file.
pub(crate) struct Base {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// The valid files by their parser.
#[derive(Default)]
pub(crate) struct Bases {
    pub(crate) hdf5: Vec<Base>,
    pub(crate) archives: Vec<Base>,
    pub(crate) configs: Vec<Base>,
    /// Malicious files, which are tried unchanged.
    pub(crate) hdf5_bombs: Vec<Base>,
    pub(crate) archive_bombs: Vec<Base>,
}

/// Larger files would only slow every mutant down, in bytes.
const MOST: usize = 200_000;

/// Configs with the keys that the demo's packages do not have.
const CONFIGS: [&str; 3] = [
    r#"{"model_name": "a", "img_preproc_type": "center_crop", "image_preproc_config": {"input_shape": [24, 31, 3],
    "resampling": "pillow_bicubic", "resize_shorter_side": 40, "channel_order": "rgb", "exif_orientation": true,
    "reducing_gap": 2.0, "normalization_factor": 255, "mean": [0.4, 0.5, 0.6], "std": 0.2}, "output_postproc_type": "multi_label",
    "output_config": {"output_classes": ["a", "b"], "threshold": [0.5, 0.25]}, "comments": "c"}"#,
    r#"{"img_preproc_type": "letterbox", "image_preproc_config": {"input_shape": [24, 31, 1], "padding_value": 114,
    "resampling": "opencv_area"}, "output_postproc_type": "binary", "output_config": {"output_classes":
    ["no", "yes"], "threshold": 0.5, "activation": "sigmoid"}}"#,
    r#"{"img_preproc_type": "stretch", "image_preproc_config": {"input_shape": [24, 31, 3], "preprocess_input":
    "caffe", "resampling": "tensorflow_bilinear_antialias"}, "output_postproc_type": "top_k", "output_config":
    {"output_classes": ["a", "b", "c"], "k": 2, "activation": "softmax"}}"#,
];

/// All of them, sorted by name.
pub(crate) fn all() -> Result<Bases> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the crate stands in a repository")?;
    let mut files = Vec::new();
    for folder in
        ["engine/keras/tests/fixtures", "engine/tensorflow/tests/fixtures", "worker/tests/fixtures", "models"]
    {
        collect(&root.join(folder), &mut files)?;
    }
    files.sort();
    let mut bases = Bases::default();
    for path in files {
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        let bytes = fs::read(&path).with_context(|| format!("`{name}` cannot be read"))?;
        let base = Base { name, bytes };
        match path.extension().and_then(|ending| ending.to_str()) {
            _ if base.bytes.len() > MOST || base.bytes.is_empty() => {}
            Some("hdf5") if base.name.contains("/bomb") => bases.hdf5_bombs.push(base),
            Some("keras") if base.name.contains("/bomb") => bases.archive_bombs.push(base),
            Some("hdf5") => bases.hdf5.push(base),
            Some("keras") => bases.archives.push(base),
            Some("json") if base.name.ends_with("_config.json") => bases.configs.push(base),
            Some(_) | None => {}
        }
    }
    let written = CONFIGS.iter().enumerate();
    let written = written
        .map(|(number, text)| Base { name: format!("config {number}"), bytes: text.as_bytes().to_vec() });
    bases.configs.extend(written);
    Ok(bases)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("`{}` cannot be read", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() { collect(&path, files)? } else { files.push(path) }
    }
    Ok(())
}
