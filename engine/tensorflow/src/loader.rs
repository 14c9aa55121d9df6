//! Checks a model and makes an engine of it.

use common::package::{ModelConfig, Precision};
use engine::LoadError;
use keras::Model;

use super::fusion::fuse;
use super::graph::{self, BuiltGraph, NodeShape, Target};
use super::image_input::with_image_input;
use super::library::Library;
use super::outputs;
use super::session::{AllCoresSession, TensorflowEngine};
use super::winograd::Winograd;

/// Checks a model against its package's config and makes its engine.
///
/// # Errors
/// [`LoadError`], with everything that is wrong with it.
pub fn load(library: &Library, config: &ModelConfig, model: Model) -> Result<TensorflowEngine, LoadError> {
    let image = config.preprocessing.input_shape;
    let (model, misfit) = with_image_input(model, image);
    let mut problems: Vec<String> = misfit.into_iter().collect();
    let model = match output(&model, config.postprocessing.output_name.as_deref()) {
        Ok(output) => outputs::only(model, output),
        Err(problem) => {
            problems.push(problem);
            model
        }
    };
    let model = fuse(model);
    let built = match graph::build(&model, Some(image), target(library, config)) {
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
            TensorflowEngine::new(library, built, image, classes, AllCoresSession::IfQuicker)
                .map_err(|error| LoadError::Unservable(vec![error.to_string()]))
        }
        _ => Err(LoadError::Unservable(problems)),
    }
}

/// The target of a package's graph.
fn target<'a>(library: &'a Library, config: &ModelConfig) -> Target<'a> {
    let usual = Target::of(library);
    let usual =
        Target { takes_uint8: usual.takes_uint8 && config.preprocessing.gives_pixel_values(), ..usual };
    match (config.precision, library.bfloat16) {
        (Precision::Bfloat16, Some(convolutions)) => Target { convolutions, ..usual },
        (Precision::Bfloat16, None) => {
            tracing::warn!("this machine does not compute in bfloat16, float32 is used");
            usual
        }
        (Precision::Float32, _) => usual,
    }
}

/// The node whose values are the scores.
fn output(model: &Model, wanted: Option<&str>) -> Result<usize, String> {
    let names: Vec<&str> = model.output_names.iter().map(String::as_str).collect();
    let index = match (&model.outputs[..], wanted) {
        ([_], None) => 0,
        _ => outputs::choose(&names, wanted)?,
    };
    let node = model.outputs.get(index).copied().filter(|node| *node < model.nodes.len());
    node.ok_or_else(|| "the model's output is never computed".to_owned())
}

fn wrong_output(built: &BuiltGraph, model: &Model, labels: usize) -> Option<String> {
    let output = *model.outputs.first()?;
    let name = model.nodes.get(output).map_or("", |node| &node.name);
    outputs::misfit(name, built.shapes.get(output)?, labels)
}

/// Makes the engine of a model without a package's config, for images of this shape and whatever its only output is. The
/// engine can run over all cores, even where that is slower.
///
/// # Errors
/// Everything that is wrong with it, as [`LoadError::Unservable`].
pub fn engine(library: &Library, model: Model, image: [usize; 3]) -> Result<TensorflowEngine, LoadError> {
    let (model, misfit) = with_image_input(model, image);
    let mut problems: Vec<String> = misfit.into_iter().collect();
    problems.extend(output(&model, None).err());
    if image.contains(&0) {
        problems.push(format!("an image of shape {image:?} is empty"));
    }
    if !problems.is_empty() {
        return Err(LoadError::Unservable(problems));
    }
    let model = fuse(model);
    let built = graph::build(&model, Some(image), Target::of(library)).map_err(LoadError::Unservable)?;
    let output = model.outputs.first().and_then(|output| built.shapes.get(*output));
    let sizes: Option<usize> = output.and_then(|shape| shape.iter().skip(1).copied().product());
    let classes = sizes.filter(|classes| *classes > 0).ok_or_else(|| {
        LoadError::Unservable(vec!["the size of the model's output is not known before a run".to_owned()])
    })?;
    drop(model);
    TensorflowEngine::new(library, built, image, classes, AllCoresSession::Always)
        .map_err(|error| LoadError::Unservable(vec![error.to_string()]))
}

/// Returns the output shape of every node of a model, as TensorFlow infers it.
///
/// # Errors
/// Every layer that cannot be built.
pub fn shapes(library: &Library, model: &Model) -> Result<Vec<NodeShape>, LoadError> {
    // Nothing is run, so no trial of convolutions is needed.
    let library = Library { winograd: Winograd::Never, ..library.clone() };
    graph::build(model, None, Target::of(&library)).map(|built| built.shapes).map_err(LoadError::Unservable)
}
