//! Chooses the engine of a package and opens its file: the only module that knows all formats and engines.

use std::sync::Arc;

use common::package::{ModelConfig, ModelFormat, Package};
use engine::{Calls, Device, Engine, EngineLoader, LoadError, outputs};
use keras::{ImportError, Model};
use model::Graph;
use tensorflow_engine::{
    Library, LibraryError, Prepared, Settings, TensorflowEngine, load_saved_model, open,
};

/// Opens the TensorFlow library and returns its engine loader.
///
/// # Errors
/// There is no usable library; the error says what to do.
pub fn loader(settings: &Settings) -> Result<Arc<dyn EngineLoader>, LibraryError> {
    Ok(Arc::new(Loader { library: open(settings)? }))
}

/// Opens a library that was found before and returns its engine loader.
///
/// # Errors
/// The library is not usable; the error says what to do.
pub fn loader_with(library: &Prepared) -> Result<Arc<dyn EngineLoader>, LibraryError> {
    Ok(Arc::new(Loader { library: library.open()? }))
}

struct Loader {
    library: Library,
}

impl EngineLoader for Loader {
    fn load(&self, package: &Package) -> Result<Arc<dyn Engine>, LoadError> {
        Ok(Arc::new(load(&self.library, package)?))
    }

    fn device(&self) -> &Device {
        &self.library.device
    }

    fn calls(&self) -> Calls {
        self.library.calls()
    }
}

/// Opens a package's model, checks it against its config and prepares it.
///
/// # Errors
/// [`LoadError`], with all problems of the package.
pub fn load(library: &Library, package: &Package) -> Result<TensorflowEngine, LoadError> {
    for remark in &package.config.remarks {
        tracing::warn!(model = %package.name, "{remark}");
    }
    match package.model.format {
        ModelFormat::SavedModel => load_saved_model(library, package),
        ModelFormat::Hdf5 | ModelFormat::KerasArchive => {
            let model =
                keras::open(&package.model.path, package.model.format).map_err(|error| match error {
                    ImportError::Faulty { problems } => LoadError::Unservable(problems),
                    ImportError::Unreadable(reason) => LoadError::Unavailable(reason),
                })?;
            let graph = scores(&model, &package.config).map_err(LoadError::Unservable)?;
            // The graph has the weights, and each is freed when the engine has it.
            drop(model);
            tensorflow_engine::load(library, &package.config, graph)
        }
    }
}

/// The graph of a model, checked against its package's config. Its only output are the scores.
fn scores(model: &Model, config: &ModelConfig) -> Result<Graph, Vec<String>> {
    let mut problems = Vec::new();
    // Images that do not fit are no reason to say nothing of the outputs.
    let graph = model.graph(Some(config.preprocessing.input_shape)).or_else(|faults| {
        problems.extend(faults);
        model.graph(None)
    });
    let output = output(model, config.postprocessing.output_name.as_deref());
    let output = output.map_err(|problem| problems.push(problem)).ok();
    let (Ok(mut graph), Some(output)) = (graph, output) else { return Err(problems) };
    graph.outputs = vec![graph.outputs[output]];
    let node = graph.node(graph.outputs[0]);
    let shape: Vec<Option<usize>> = node.shape.iter().map(|size| size.known()).collect();
    problems.extend(outputs::misfit(&node.layer, &shape, config.postprocessing.outputs()));
    if problems.is_empty() { Ok(graph) } else { Err(problems) }
}

/// The index of the output with the scores: the one of this name, or without a name the only one.
fn output(model: &Model, wanted: Option<&str>) -> Result<usize, String> {
    let names: Vec<&str> = model.output_names.iter().map(String::as_str).collect();
    match (&model.outputs[..], wanted) {
        ([_], None) => Ok(0),
        _ => outputs::choose(&names, wanted),
    }
}

/// Makes the engine of a model without a package, for images of this shape and whatever its only output is. The engine can
/// run over all cores, even where that is slower.
///
/// # Errors
/// [`LoadError::Unservable`], with everything that is wrong with it.
pub fn engine(library: &Library, model: Model, image: [usize; 3]) -> Result<TensorflowEngine, LoadError> {
    output(&model, None).map_err(|problem| LoadError::Unservable(vec![problem]))?;
    let graph = model.graph(Some(image)).map_err(LoadError::Unservable)?;
    drop(model);
    tensorflow_engine::engine(library, graph)
}
