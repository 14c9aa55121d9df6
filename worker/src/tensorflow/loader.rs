//! Package -> Keras model -> graph -> engine, with everything checked on the way.

use std::sync::Arc;

use common::package::{ModelConfig, Package, Precision};

use super::fusion::fuse;
use super::graph::{self, BuiltGraph, NodeShape};
use super::library::{Convolutions, Library, LibraryError, Settings, open};
use super::session::TensorflowEngine;
use crate::engine::{Engine, EngineLoader, LoadError};
use crate::keras::layers::Layer;
use crate::keras::{self, ImportError, Model};

/// Opens the TensorFlow library and returns what loads models with it.
///
/// # Errors
/// There is no usable library; says what to do.
pub fn loader(settings: &Settings) -> Result<Arc<dyn EngineLoader>, LibraryError> {
    Ok(Arc::new(TensorflowLoader { library: open(settings)? }))
}

struct TensorflowLoader {
    library: Library,
}

impl EngineLoader for TensorflowLoader {
    fn load(&self, package: &Package) -> Result<Arc<dyn Engine>, LoadError> {
        Ok(Arc::new(load(&self.library, package)?))
    }
}

/// Opens a package's model, checks it against its config and gets it ready.
///
/// # Errors
/// [`LoadError`], with all faults of the package.
pub fn load(library: &Library, package: &Package) -> Result<TensorflowEngine, LoadError> {
    let model = keras::open(&package.model.path, package.model.format).map_err(|error| match error {
        ImportError::Faulty { problems } => LoadError::Unservable(problems),
        ImportError::Unreadable(reason) => LoadError::Unavailable(reason),
    })?;
    engine_for(library, &package.config, model)
}

fn engine_for(library: &Library, config: &ModelConfig, model: Model) -> Result<TensorflowEngine, LoadError> {
    let image = config.preprocessing.input_shape;
    let mut problems = disagreements(&model, image);
    let model = fuse(model);
    let built = match graph::build(&model, Some(image), convolutions(library, config.precision)) {
        Ok(built) => Some(built),
        // With images of another shape than the model's own, layers fail for that reason alone.
        Err(faults) if problems.is_empty() => return Err(LoadError::Unservable(faults)),
        Err(_) => None,
    };
    if let Some(built) = built.as_ref().filter(|_| model.outputs.len() == 1) {
        problems.extend(wrong_output(built, &model, config.postprocessing.outputs()));
    }
    match built {
        Some(built) if problems.is_empty() => {
            drop(model);
            let classes = config.postprocessing.outputs();
            TensorflowEngine::new(library, built, image, classes)
                .map_err(|error| LoadError::Unservable(vec![error.to_string()]))
        }
        _ => Err(LoadError::Unservable(problems)),
    }
}

/// How convolutions are computed in a package of this precision.
fn convolutions(library: &Library, precision: Precision) -> Convolutions {
    match precision {
        Precision::Bfloat16 if library.bfloat16 => Convolutions::Bfloat16,
        Precision::Bfloat16 => {
            tracing::warn!("this machine does not compute in bfloat16, float32 is used");
            library.convolutions
        }
        Precision::Float32 => library.convolutions,
    }
}

/// What of the model's ends does not fit a classifier of such images.
fn disagreements(model: &Model, image: [usize; 3]) -> Vec<String> {
    let mut problems = Vec::new();
    match model.nodes.get(model.input).map(|node| (&node.layer, &node.name)) {
        Some((Layer::Input { shape }, name)) => {
            let fits = shape.len() == image.len()
                && shape.iter().zip(image).all(|(size, given)| size.is_none_or(|size| size == given));
            if !fits {
                problems.push(format!(
                    "`image_preproc_config.input_shape` is {image:?}, but the model's input `{name}` has \
                     shape {}",
                    show(shape)
                ));
            }
        }
        _ => problems.push("the model has no input layer".to_owned()),
    }
    if model.outputs.len() != 1 {
        let names: Vec<&str> = model
            .outputs
            .iter()
            .filter_map(|output| model.nodes.get(*output))
            .map(|node| node.name.as_str())
            .collect();
        problems.push(format!(
            "the model has {} outputs (`{}`), expected 1 with the scores",
            names.len(),
            names.join("`, `")
        ));
    }
    problems
}

fn wrong_output(built: &BuiltGraph, model: &Model, labels: usize) -> Option<String> {
    let output = *model.outputs.first()?;
    let shape = built.shapes.get(output)?;
    let name = model.nodes.get(output).map_or("", |node| &node.name);
    match shape[..] {
        [_, Some(outputs)] if outputs == labels => None,
        [_, Some(outputs)] => Some(format!(
            "the model has {outputs} outputs, but `output_config.output_classes` has {labels} labels"
        )),
        _ => Some(format!(
            "the model's output `{name}` has shape {}, expected [batch, {labels}]",
            show_batched(shape)
        )),
    }
}

/// The model's engine without a package's config: for images of this shape, whatever its one output is.
///
/// # Errors
/// Everything that is wrong with it, as [`LoadError::Unservable`].
pub fn engine(library: &Library, model: Model, image: [usize; 3]) -> Result<TensorflowEngine, LoadError> {
    let mut problems = disagreements(&model, image);
    if image.contains(&0) {
        problems.push(format!("an image of shape {image:?} is empty"));
    }
    if !problems.is_empty() {
        return Err(LoadError::Unservable(problems));
    }
    let model = fuse(model);
    let built = graph::build(&model, Some(image), library.convolutions).map_err(LoadError::Unservable)?;
    let output = model.outputs.first().and_then(|output| built.shapes.get(*output));
    let sizes: Option<usize> = output.and_then(|shape| shape.iter().skip(1).copied().product());
    let classes = sizes.filter(|classes| *classes > 0).ok_or_else(|| {
        LoadError::Unservable(vec!["the size of the model's output is not known before a run".to_owned()])
    })?;
    drop(model);
    TensorflowEngine::new(library, built, image, classes)
        .map_err(|error| LoadError::Unservable(vec![error.to_string()]))
}

/// The output shape of every node of a model, as TensorFlow infers it.
///
/// # Errors
/// Every layer that cannot be built.
pub fn shapes(library: &Library, model: &Model) -> Result<Vec<NodeShape>, LoadError> {
    graph::build(model, None, library.convolutions).map(|built| built.shapes).map_err(LoadError::Unservable)
}

fn show(sizes: &[Option<usize>]) -> String {
    let sizes: Vec<String> =
        sizes.iter().map(|size| size.map_or_else(|| "any".to_owned(), |n| n.to_string())).collect();
    format!("[{}]", sizes.join(", "))
}

fn show_batched(shape: &[Option<usize>]) -> String {
    match shape.split_first() {
        Some((None, rest)) if !rest.is_empty() => format!("[batch, {}", &show(rest)[1..]),
        _ => show(shape),
    }
}
