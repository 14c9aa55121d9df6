//! Loads a SavedModel folder: the way for models whose layers the importer does not support.
//!
//! ```text
//! NAME.savedmodel/saved_model.pb        graphs, each with tags and signatures
//! NAME.savedmodel/variables/variables.* the values of the variables
//! NAME.savedmodel/assets/…              files that the graph reads, such as vocabularies
//! ```
//!
//! The folder is checked before TensorFlow reads it, and then loaded as by TensorFlow's own loader: import the graph,
//! restore its variables, run its initialization. `TF_LoadSessionFromSavedModel` does the same in one call. But the crate
//! `tensorflow` then parses the whole description with a library whose stack hostile input can overflow.

mod finite;
mod meta_graph;
mod operations;
mod signature;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Component, Path};

use common::package::{Package, in_place_of_a_model};
use tensorflow::{Graph, ImportGraphDefOptions, Output, Session, SessionRunArgs, Status, Tensor};

use self::meta_graph::{Asset, MetaGraph};
use self::operations::{Kinds, objection};
use self::signature::parse_tensor;
pub use self::signature::{Element, Signature, TensorInfo};
use super::inputs::Inputs;
use super::library::Library;
use super::opening;
use super::session::{AllCoresSession, Computation, Fetch, TensorflowEngine};
use engine::LoadError;

/// The file in the folder.
const FILE: &str = "saved_model.pb";

/// The largest protocol buffer, in bytes.
const MAX_BYTES: u64 = (1 << 31) - 1;

/// The prefix of the names of the files with the variables' values.
const VARIABLES: &str = "variables/variables";

/// The kinds of operations that hold a variable.
const VARIABLE_KINDS: [&str; 3] = ["VarHandleOp", "VariableV2", "Variable"];

/// The description of a SavedModel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The version of TensorFlow that wrote it.
    pub tensorflow_version: Option<String>,
    /// The signature that serves.
    pub signature: Signature,
}

/// Reads the description of a SavedModel, without loading it. Blocks on disk.
///
/// # Errors
/// [`LoadError`].
pub fn describe(folder: &Path) -> Result<Description, LoadError> {
    let bytes = read(folder)?;
    let meta = MetaGraph::for_serving(&bytes).map_err(unservable)?;
    Ok(Description {
        tensorflow_version: meta.tensorflow_version.map(str::to_owned),
        signature: Signature::choose(meta.signatures).map_err(unservable)?,
    })
}

/// Loads a package's SavedModel.
///
/// # Errors
/// [`LoadError`], with all faults that can be found without a run.
pub fn load(library: &Library, package: &Package) -> Result<TensorflowEngine, LoadError> {
    let folder = &package.model.path;
    let bytes = read(folder)?;
    let mut meta = MetaGraph::for_serving(&bytes).map_err(unservable)?;
    let signature = Signature::choose(std::mem::take(&mut meta.signatures)).map_err(unservable)?;
    let config = &package.config;
    let (input, output) = match (signature.input(config), signature.output(config)) {
        (Ok(input), Ok(output)) => (input, output),
        (input, output) => {
            let faults = [input.err(), output.err()].into_iter().flatten().flatten();
            let mut problems: Vec<String> = faults.collect();
            problems.extend(faults_of_graph(library, folder, &meta, &signature));
            return Err(LoadError::Unservable(problems));
        }
    };
    let problems = faults_of_graph(library, folder, &meta, &signature);
    if !problems.is_empty() {
        return Err(LoadError::Unservable(problems));
    }
    let opened = open(folder, &meta, [&input.tensor, &output.tensor]);
    drop(bytes);
    let (image, classes) = (config.preprocessing.input_shape, config.postprocessing.outputs());
    opened
        .map_err(|Refused(reason)| reason)
        .and_then(|computation| {
            TensorflowEngine::over(library, computation, image, classes, AllCoresSession::IfQuicker)
                .map_err(|error| error.to_string())
        })
        .map_err(unservable)
}

fn unservable(problem: String) -> LoadError {
    LoadError::Unservable(vec![problem])
}

fn read(folder: &Path) -> Result<Vec<u8>, LoadError> {
    let path = folder.join(FILE);
    let unreadable =
        |error: io::Error| LoadError::Unavailable(format!("`{}` cannot be read: {error}", path.display()));
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let shown = folder.display();
            return Err(unservable(format!("`{shown}` has no file `{FILE}`, expected a SavedModel")));
        }
        opened => opened.map_err(unreadable)?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(unservable(format!("`{FILE}` is larger than {MAX_BYTES} bytes")));
    }
    if let Some(stranger) = in_place_of_a_model(&bytes) {
        return Err(unservable(format!("`{FILE}` {stranger}")));
    }
    Ok(bytes)
}

/// The faults that keep the graph from running for this signature, whatever the config is.
fn faults_of_graph(
    library: &Library,
    folder: &Path,
    meta: &MetaGraph<'_>,
    signature: &Signature,
) -> Vec<String> {
    let outputs = signature.outputs.iter().map(|output| output.tensor.0.as_str());
    let restore = meta.saver.map(|saver| saver.restore);
    let ends: Vec<&str> = outputs.chain(meta.init).chain(restore).collect();
    let Ok(kinds) = operations::run_for(&meta.graph, &ends) else {
        return vec![format!("the graph in `{FILE}` is damaged or too large")];
    };
    let mut problems = faults_of_operations(library, &kinds);
    let has_variables = VARIABLE_KINDS.iter().any(|kind| kinds.contains_key(kind));
    if has_variables && !has_values(folder) {
        problems.push(format!("there is no file `{VARIABLES}.index`, expected the values of the variables"));
    }
    problems.extend(meta.assets.iter().filter_map(|asset| misplaced(asset.file)));
    problems
}

fn faults_of_operations(library: &Library, kinds: &Kinds<'_>) -> Vec<String> {
    let known = Graph::new();
    let fault = |(kind, name): (&&str, &&str)| match objection(kind) {
        Some(objection) => Some(format!("operation `{name}` (`{kind}`) {objection}")),
        None if known.get_op_def(kind).is_err() => {
            let version = &library.version;
            Some(format!("operation `{name}` (`{kind}`) is not known to TensorFlow {version}"))
        }
        None => None,
    };
    kinds.iter().filter_map(fault).collect()
}

fn has_values(folder: &Path) -> bool {
    folder.join(format!("{VARIABLES}.index")).is_file()
}

/// Returns a fault for an asset whose path leaves the folder `assets`.
fn misplaced(file: &str) -> Option<String> {
    let inside = Path::new(file).components().all(|part| matches!(part, Component::Normal(_)));
    (!inside || file.is_empty())
        .then(|| format!("the asset `{file}` is not in the folder `assets`, expected a path inside it"))
}

/// Why a SavedModel was refused: TensorFlow's message, or a fault found before.
struct Refused(String);

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        Self(format!("TensorFlow refuses the SavedModel: {status}"))
    }
}

impl From<std::ffi::NulError> for Refused {
    fn from(_: std::ffi::NulError) -> Self {
        Self(format!("a name in `{FILE}` holds a zero byte"))
    }
}

/// Imports the graph, restores its variables and initializes its tables.
fn open(
    folder: &Path,
    meta: &MetaGraph<'_>,
    [input, output]: [&(String, usize); 2],
) -> Result<Computation, Refused> {
    let mut graph = Graph::new();
    graph.import_graph_def(&meta.graph.bytes(), &ImportGraphDefOptions::new())?;
    let input = tensor(&graph, input)?;
    let output = tensor(&graph, output)?;
    // Casts scores of half precision to float32. TensorFlow also cannot fetch a tensor that is fed.
    let mut cast = graph.new_operation("Cast", "scores_as_float32")?;
    cast.add_input(output);
    cast.set_attr_type("DstT", tensorflow::DataType::Float)?;
    let scores = cast.finish()?.into();
    let questions = finite::questions(&mut graph)?;
    let session = opening::open(&graph)?;
    prepare(&session, &graph, folder, meta)?;
    finite::ask(&session, &questions)?;
    // A second session would have its own copy of the variables.
    let inputs = Inputs { float32: input, uint8: None };
    Ok(Computation { one_core: Fetch { session, scores }, all_cores: None, graph, inputs })
}

/// An output of an operation of the graph.
fn tensor(graph: &Graph, (name, index): &(String, usize)) -> Result<Output, Refused> {
    let operation = graph.operation_by_name(name)?;
    let found = operation.filter(|operation| *index < operation.num_outputs());
    let found = found.and_then(|operation| Some(Output { operation, index: i32::try_from(*index).ok()? }));
    found.ok_or_else(|| Refused(format!("the graph has no tensor `{name}:{index}`, which `{FILE}` names")))
}

/// Restores the variables, then runs the initialization, which may read them.
fn prepare(session: &Session, graph: &Graph, folder: &Path, meta: &MetaGraph<'_>) -> Result<(), Refused> {
    let path = |inside: &str| -> Result<Tensor<String>, Refused> {
        let path = folder.join(inside);
        let text = path.to_str().ok_or_else(|| Refused(format!("`{}` is no UTF-8", path.display())))?;
        Ok(Tensor::from(text.to_owned()))
    };
    let assets: Vec<(Output, Tensor<String>)> = meta
        .assets
        .iter()
        .map(|Asset { path: tensor_name, file }| {
            Ok((tensor(graph, &parse_tensor(tensor_name))?, path(&format!("assets/{file}"))?))
        })
        .collect::<Result<_, Refused>>()?;
    let run = |operation: &str, path: Option<(Output, Tensor<String>)>| -> Result<(), Refused> {
        let target = graph.operation_by_name(operation)?;
        let target = target.ok_or_else(|| Refused(format!("the graph has no operation `{operation}`")))?;
        let mut arguments = SessionRunArgs::new();
        for (feed, value) in assets.iter().chain(&path) {
            arguments.add_feed(&feed.operation, feed.index, value);
        }
        arguments.add_target(&target);
        Ok(session.run(&mut arguments)?)
    };
    if let Some(saver) = meta.saver.filter(|_| has_values(folder)) {
        let feed = tensor(graph, &parse_tensor(saver.path))?;
        run(saver.restore, Some((feed, path(VARIABLES)?)))?;
    }
    match meta.init {
        Some(init) => run(init, None),
        None => Ok(()),
    }
}
