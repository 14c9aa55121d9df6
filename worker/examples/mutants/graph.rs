//! Runs mutants that are still models with TensorFlow.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Result, ensure};
use common::package::ModelFormat;
use engine::{Batch, Engine as _};
use keras::layers::Layer;
use keras::{self, Model};
use tensorflow_engine::{Library, Settings};

use crate::bases::{Base, Bases};

/// Replaces a size of the image that the model leaves open.
const SIDE: usize = 16;

/// The library, and the images of the valid models.
pub(crate) struct Graph {
    library: Library,
    images: HashMap<String, [usize; 3]>,
}

impl Graph {
    pub(crate) fn open(folder: &Path, bases: &Bases) -> Result<Self> {
        let settings = Settings { folder: Some(folder.to_owned()), ..Settings::default() };
        let mut graph = Self { library: tensorflow_engine::open(&settings)?, images: HashMap::new() };
        for (list, format) in [(&bases.hdf5, ModelFormat::Hdf5), (&bases.archives, ModelFormat::KerasArchive)]
        {
            for base in list {
                graph.look_at(base, format)?;
            }
        }
        ensure!(!graph.images.is_empty(), "no sound file is a model");
        Ok(graph)
    }

    fn look_at(&mut self, base: &Base, format: ModelFormat) -> Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), &base.bytes)?;
        let Ok(model) = keras::open(file.path(), format) else { return Ok(()) };
        if let Some(Layer::Input { shape }) = model.nodes.get(model.input).map(|node| &node.layer)
            && let Ok(image) = <[Option<usize>; 3]>::try_from(shape.as_slice())
        {
            self.images.insert(base.name.clone(), image.map(|size| size.unwrap_or(SIDE)));
        }
        // TensorFlow's one-time work is done before anything is measured.
        if self.images.len() == 1 {
            let _ = self.run(&base.name, model);
        }
        Ok(())
    }

    /// Builds and runs a model with an image of its base's shape, as its package's config would say.
    ///
    /// # Errors
    /// Why it is refused.
    pub(crate) fn run(&self, base: &str, model: Model) -> Result<(), String> {
        let image = self.images.get(base).ok_or("the sound file is no model of images")?;
        let engine =
            worker::engines::engine(&self.library, model, *image).map_err(|error| error.to_string())?;
        let pixels: Vec<f32> = (0_u8..=255).map(f32::from).cycle().take(image.iter().product()).collect();
        let batch = Batch::new(1, *image, pixels);
        engine.predict(&batch).map(|_| ()).map_err(|error| error.to_string())
    }
}
