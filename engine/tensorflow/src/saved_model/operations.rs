//! Finds the operations that a graph runs for given outputs, also those in functions.
//!
//! A SavedModel has other operations too, such as those that save it. TensorFlow does not run them, and they are not
//! checked. Field numbers are those of `graph.proto`, `node_def.proto`, `function.proto` and `attr_value.proto`.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::super::protobuf::{Malformed, Parts, Value};

/// Most operations of a graph, with those in functions: a hundred times as many as in the largest architectures of
/// `keras.applications`.
const MAX_NODES: usize = 1_000_000;

/// Deepest nesting of attributes. The name of a function is at depth two, that of a function passed to it at depth four.
const MAX_DEPTH: usize = 16;

/// The kinds of operations that run, each with the name of one operation.
pub(super) type Kinds<'a> = BTreeMap<&'a str, &'a str>;

/// Finds the operations that run to compute `ends`, which are operations by name. All functions that an operation may call
/// count as called.
///
/// # Errors
/// The bytes are not a graph, or the graph is larger than that of any model.
pub(super) fn run_for<'a>(graph: &Parts<'a>, ends: &[&'a str]) -> Result<Kinds<'a>, Malformed> {
    let mut count = 0;
    let mut nodes = HashMap::new();
    for node in graph.repeated(1) {
        let node = Node::read(&Parts::of(node?), &mut count)?;
        nodes.insert(node.name, node);
    }
    let mut functions: HashMap<&str, Vec<Node<'_>>> = HashMap::new();
    for function in graph.message(2)?.repeated(1) {
        let (name, body) = function_of(&Parts::of(function?), &mut count)?;
        // All functions of one name count, since any of them may run.
        functions.entry(name).or_default().extend(body);
    }

    let mut kinds = Kinds::new();
    let mut called = Vec::new();
    let mut note = |node: &Node<'a>, called: &mut Vec<&'a str>| {
        called.extend(&node.functions);
        if functions.contains_key(node.kind) {
            called.push(node.kind);
        } else {
            kinds.insert(node.kind, node.name);
        }
    };
    let (mut open, mut seen) = (ends.to_vec(), HashSet::new());
    while let Some(name) = open.pop() {
        // TensorFlow reports missing operations.
        let Some(node) = nodes.get(name).filter(|_| seen.insert(name)) else { continue };
        open.extend(&node.inputs);
        note(node, &mut called);
    }
    let mut entered = HashSet::new();
    while let Some(name) = called.pop() {
        let Some(body) = functions.get(name).filter(|_| entered.insert(name)) else { continue };
        body.iter().for_each(|node| note(node, &mut called));
    }
    Ok(kinds)
}

/// A `NodeDef`.
struct Node<'a> {
    name: &'a str,
    kind: &'a str,
    /// Names of the operations that it depends on.
    inputs: Vec<&'a str>,
    /// Names of functions in its attributes.
    functions: Vec<&'a str>,
}

impl<'a> Node<'a> {
    fn read(message: &Parts<'a>, count: &mut usize) -> Result<Self, Malformed> {
        *count += 1;
        if *count > MAX_NODES {
            return Err(Malformed);
        }
        let mut node = Self {
            name: message.text(1)?.unwrap_or_default(),
            kind: message.text(2)?.unwrap_or_default(),
            inputs: Vec::new(),
            functions: Vec::new(),
        };
        for field in message.fields() {
            match field? {
                (3, input) => node.inputs.push(operation_of(input.text()?)),
                (5, entry) => {
                    let (key, value) = Parts::of(entry.bytes()?).entry()?;
                    find_functions(&value, MAX_DEPTH, &mut node.functions)?;
                    // It prints to standard error by default.
                    if node.kind == "PrintV2" && key == "output_stream" {
                        let stream = value.text(2)?.unwrap_or_default();
                        node.kind = if stream.starts_with("file:") { PRINT_TO_FILE } else { node.kind };
                    }
                }
                _ => {}
            }
        }
        Ok(node)
    }
}

/// Not a kind of TensorFlow's: `PrintV2` that writes to a file.
const PRINT_TO_FILE: &str = "PrintV2 to a file";

/// The name and the operations of a `FunctionDef`.
fn function_of<'a>(function: &Parts<'a>, count: &mut usize) -> Result<(&'a str, Vec<Node<'a>>), Malformed> {
    let signature = function.message(1)?;
    let body =
        function.repeated(3).map(|node| Node::read(&Parts::of(node?), count)).collect::<Result<_, _>>()?;
    Ok((signature.text(1)?.unwrap_or_default(), body))
}

/// Names of functions in an `AttrValue`: under `func`, and under `func` of its `list`.
fn find_functions<'a>(value: &Parts<'a>, depth: usize, found: &mut Vec<&'a str>) -> Result<(), Malformed> {
    let deeper = depth.checked_sub(1).ok_or(Malformed)?;
    // The last of several kinds of values counts. All are checked, which can only find more.
    for field in value.fields() {
        match field? {
            (1, list) => {
                for function in Parts::of(list.bytes()?).repeated(9) {
                    find_in_function(&Parts::of(function?), deeper, found)?;
                }
            }
            (10, Value::Bytes(function)) => find_in_function(&Parts::of(function), deeper, found)?,
            _ => {}
        }
    }
    Ok(())
}

/// Finds the name in a `NameAttrList`, and the names in the attributes of that function.
fn find_in_function<'a>(
    message: &Parts<'a>,
    depth: usize,
    found: &mut Vec<&'a str>,
) -> Result<(), Malformed> {
    found.extend(message.text(1)?);
    for entry in message.repeated(2) {
        find_functions(&Parts::of(entry?).entry()?.1, depth, found)?;
    }
    Ok(())
}

/// The operation in the name of an input: `name:1` is an output, `^name` a control dependency.
fn operation_of(input: &str) -> &str {
    let name = input.strip_prefix('^').unwrap_or(input);
    name.split_once(':').map_or(name, |(name, _)| name)
}

/// Why operations of this kind are refused, if they are. The list has operations that are in a classifier by mistake, or
/// that do harm in the plainest ways. It does not make an untrusted graph safe.
pub(super) fn objection(kind: &str) -> Option<&'static str> {
    const PYTHON: &str = "runs Python, of which there is none when a model is served";
    const FILES: &str = "writes files, which a model must not do";
    const NETWORK: &str = "speaks to other programs, which a model must not do";
    match kind {
        "PyFunc" | "PyFuncStateless" | "EagerPyFunc" => Some(PYTHON),
        "WriteFile"
        | "Save"
        | "SaveSlices"
        | "SaveV2"
        | "MergeV2Checkpoints"
        | "DumpTensor"
        | PRINT_TO_FILE
        | "DatasetToTFRecord"
        | "ExperimentalDatasetToTFRecord"
        | "SaveDataset"
        | "SaveDatasetV2"
        | "SnapshotDataset"
        | "SnapshotDatasetV2"
        | "CacheDataset"
        | "CacheDatasetV2"
        | "DistributedSave"
        | "CalibrationStatisticsSaver"
        | "CreateSummaryFileWriter"
        | "CreateSummaryDbWriter"
        | "DebugIdentity"
        | "DebugIdentityV2"
        | "DebugIdentityV3"
        | "DebugNanCount"
        | "DebugNumericSummary" => Some(FILES),
        "RegisterDataset" | "RegisterDatasetV2" => Some(NETWORK),
        kind if kind.starts_with("Rpc") || kind.starts_with("DataServiceDataset") => Some(NETWORK),
        _ => None,
    }
}
