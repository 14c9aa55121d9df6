//! An image, decoded and preprocessed in each possible way.
#![no_main]

use std::sync::LazyLock;

use common::package::{ModelConfig, Preprocessing};
use libfuzzer_sys::fuzz_target;
use images::decode::DecodeLimits;
use images::preprocess::{decode, preprocess};

/// The preprocessings; each image takes one of them.
static WAYS: LazyLock<Vec<Preprocessing>> = LazyLock::new(|| {
    let ways = [
        r#"normalize_and_pad", "image_preproc_config": {"input_shape": [24, 31, 3], "normalization_factor": 255}"#,
        r#"normalize_and_pad", "image_preproc_config": {"input_shape": [31, 24, 1], "normalization_factor": 255}"#,
        r#"no_prepro", "image_preproc_config": {"input_shape": [16, 16, 3]}"#,
        r#"stretch", "image_preproc_config": {"input_shape": [24, 31, 3], "resampling": "pillow_bicubic"}"#,
        r#"stretch", "image_preproc_config": {"input_shape": [24, 31, 1], "resampling": "opencv_linear"}"#,
        r#"stretch", "image_preproc_config": {"input_shape": [24, 31, 3], "resampling": "tensorflow_bilinear"}"#,
        r#"stretch", "image_preproc_config": {"input_shape": [24, 31, 1], "resampling": "tensorflow_bilinear"}"#,
        r#"stretch", "image_preproc_config": {"input_shape": [24, 31, 1], "resampling": "pillow_bilinear"}"#,
        r#"stretch", "image_preproc_config": {"input_shape": [2, 3, 3], "resampling": "pillow_bilinear",
            "reducing_gap": 1}"#,
        r#"center_crop", "image_preproc_config": {"input_shape": [4, 4, 1], "resampling": "opencv_area",
            "reducing_gap": 1.5}"#,
        r#"letterbox", "image_preproc_config": {"input_shape": [24, 31, 3], "resampling": "opencv_area"}"#,
        r#"center_crop", "image_preproc_config": {"input_shape": [24, 31, 3], "resampling": "pillow_lanczos"}"#,
        r#"center_crop", "image_preproc_config": {"input_shape": [24, 31, 3], "resampling": "tensorflow_bilinear",
            "resize_shorter_side": 40}"#,
        r#"center_crop", "image_preproc_config": {"input_shape": [24, 31, 3], "resampling": "pillow_bilinear",
            "resize_shorter_side": 40}"#,
        r#"image_ops_fit", "image_preproc_config": {"input_shape": [24, 31, 3], "resampling": "pillow_lanczos",
            "reducing_gap": 1}"#,
    ];
    ways.iter().map(|way| of_config(way)).collect()
});

fn of_config(way: &str) -> Preprocessing {
    let config = format!(
        r#"{{"img_preproc_type": "{way}, "output_postproc_type": "argmax",
        "output_config": {{"output_classes": ["a"]}}}}"#
    );
    let config = ModelConfig::parse(config.as_bytes());
    config.unwrap_or_else(|problems| panic!("{way}: {problems:?}")).preprocessing
}

fuzz_target!(|bytes: &[u8]| fuzzing::within_its_time(bytes.len(), || {
    let limits = DecodeLimits { max_bytes: 1 << 20, max_pixels: 1 << 18, max_side: 2_048 };
    let way = &WAYS[bytes.iter().fold(0, |sum: usize, &byte| sum.wrapping_add(byte.into())) % WAYS.len()];
    match decode(bytes, &limits, way, &|| true) {
        Ok(image) => {
            assert_eq!(image.pixels.len(), image.height * image.width * 3);
            if let Ok(values) = preprocess(image, way) {
                assert!(values.values().iter().all(|value| value.is_finite()), "a value is not finite");
            }
        }
        Err(error) => assert!(!error.detail.is_empty(), "an error without words"),
    }
}));
