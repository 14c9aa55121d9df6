//! The simulated packages, and a fake engine: an image's label depends on its bytes and the model.

use std::fs;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use common::package::{Catalog, Package};
use engine::{Batch, Device, Engine, EngineError, EngineLoader, LoadError, Scores};

use crate::plan::MODELS;

/// Height, width and channels.
const SHAPE: [usize; 3] = [2, 2, 3];
/// Number of outputs.
const CLASSES: usize = 16;

/// Returns the models folder, which all worlds of this process share.
///
/// # Panics
/// The system gives no folder.
#[must_use]
pub fn catalog() -> Catalog {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().expect("the system gives a folder");
        let classes: Vec<String> = (0..CLASSES).map(|number| format!("\"{number}\"")).collect();
        let config = format!(
            r#"{{"img_preproc_type": "no_prepro", "image_preproc_config": {{"input_shape": {SHAPE:?}}},
                "output_postproc_type": "argmax", "output_config": {{"output_classes": [{}]}}}}"#,
            classes.join(", ")
        );
        for name in MODELS {
            let inside = folder.path().join(name);
            let written = fs::create_dir(&inside)
                .and_then(|()| fs::write(inside.join(format!("{name}.hdf5")), name))
                .and_then(|()| fs::write(inside.join(format!("{name}_config.json")), &config));
            written.expect("the folder can be written to");
        }
        folder
    });
    Catalog::new(folder.path())
}

/// Returns the label that a model gives an image.
#[must_use]
pub fn label(model: usize, image: u8) -> String {
    ((usize::from(image) + 5 * model) % CLASSES).to_string()
}

/// Returns an image with this number: a bitmap of 2 × 2 pixels.
#[must_use]
pub fn image(number: u8) -> Bytes {
    let mut file = Vec::with_capacity(70);
    file.extend(b"BM");
    for word in [70_u32, 0, 54, 40, 2, 2] {
        file.extend(word.to_le_bytes());
    }
    file.extend([1, 0, 24, 0]);
    for word in [0_u32, 16, 2835, 2835, 0, 0] {
        file.extend(word.to_le_bytes());
    }
    // Two rows of two pixels, blue first, each padded with two bytes.
    for _ in 0..2 {
        file.extend([number, 0, 0, number, 0, 0, 0, 0]);
    }
    file.into()
}

struct Double(usize);

impl Engine for Double {
    fn predict(&self, batch: &Batch) -> Result<Scores, EngineError> {
        let mut values = vec![0.0; batch.images * CLASSES];
        let pixels = batch.pixels.values();
        for (index, image) in pixels.chunks_exact(SHAPE.iter().product()).enumerate() {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was a byte")]
            let number = image[0] as usize;
            values[index * CLASSES + (number + 5 * self.0) % CLASSES] = 1.0;
        }
        Ok(Scores { classes: CLASSES, values })
    }

    fn device(&self) -> &Device {
        &Device::Cpu
    }
}

/// Makes a fake engine of any package.
pub struct Loader;

impl EngineLoader for Loader {
    fn load(&self, package: &Package) -> Result<Arc<dyn Engine>, LoadError> {
        let number = MODELS.iter().position(|name| *name == package.name.as_str());
        let number = number.ok_or_else(|| LoadError::Unavailable("no such double".to_owned()))?;
        Ok(Arc::new(Double(number)))
    }
}
