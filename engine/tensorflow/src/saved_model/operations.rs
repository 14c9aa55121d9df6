//! Which operations a graph runs to do what is asked of it, in whatever function they stand.
//!
//! A SavedModel also holds operations that nobody asks for, such as those that save it: TensorFlow does not
//! run them, and they are not looked at. Field numbers are those of `graph.proto`, `node_def.proto`,
//! `function.proto` and `attr_value.proto`.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::super::protobuf::{Malformed, Parts, Value};

/// Most operations of a graph, those in functions counted: a hundred times as many as the largest
/// architectures of `keras.applications` have.
const MAX_NODES: usize = 1_000_000;

/// How deep an attribute may be nested: a function's name stands two deep, that of one given to it four.
const MAX_DEPTH: usize = 16;

/// The kinds of operations that are run, each with the name of one of them.
pub(super) type Kinds<'a> = BTreeMap<&'a str, &'a str>;

/// What is run to compute `ends`, operations by name. What a function may call counts as called.
///
/// # Errors
/// The bytes are no graph, or one that is larger than any model's.
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
        // Which of two of one name is run is not for us to guess.
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
        // What is missing is told by TensorFlow.
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
    /// Names of the operations that it reads or waits for.
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
                    // It prints to standard error unless told to write to a file.
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

/// A kind of operation that is none of TensorFlow's: `PrintV2` with a file for its stream.
const PRINT_TO_FILE: &str = "PrintV2 to a file";

/// Name and operations of a `FunctionDef`.
fn function_of<'a>(function: &Parts<'a>, count: &mut usize) -> Result<(&'a str, Vec<Node<'a>>), Malformed> {
    let signature = function.message(1)?;
    let body =
        function.repeated(3).map(|node| Node::read(&Parts::of(node?), count)).collect::<Result<_, _>>()?;
    Ok((signature.text(1)?.unwrap_or_default(), body))
}

/// Names of functions in an `AttrValue`: under `func`, and under `func` of its `list`.
fn find_functions<'a>(value: &Parts<'a>, depth: usize, found: &mut Vec<&'a str>) -> Result<(), Malformed> {
    let deeper = depth.checked_sub(1).ok_or(Malformed)?;
    // Of several kinds of value the last counts. Here all are looked at, which can only find more.
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

/// The name in a `NameAttrList`, and those in the attributes that the function is given.
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

/// The operation in the name of an input: `^name` is waited for, `name:1` read.
fn operation_of(input: &str) -> &str {
    let name = input.strip_prefix('^').unwrap_or(input);
    name.split_once(':').map_or(name, |(name, _)| name)
}

/// What speaks against running operations of this kind, if anything. The list holds what a classifier left in
/// the graph by mistake, or put there to do harm in the plainest ways; it makes no stranger's graph safe.
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
