//! Puts a [`Model`] together: the tree of models becomes one flat list of layer calls, every layer gets its
//! weights, and every fault of the whole is gathered on the way.

use std::collections::{BTreeSet, HashMap};

use super::architecture::{
    Architecture, Body, CONSTANT_CLASS, Dialect, LayerSpec, Member, ModelKind, ModelSpec, Source,
};
use super::hdf5::Fault;
use super::layers::{Layer, catalog};
use super::reader::{Declared, Reader, channels_last};
use super::shapes::{Shape, output_shape};
use super::weights::{self, Bound, Store};
use super::{ImportError, Model, Node, SummaryRow, Tensor};

/// Models with more calls than this, of layers and of models, are refused: a few nested models, each calling the
/// next twice, would otherwise make any number.
const MAX_CALLS: usize = 50_000;

/// Most bytes that the calls take together. Each repeats names, shapes and settings that may be long.
const MAX_BYTES: usize = 64 << 20;

/// Makes the model.
///
/// # Errors
/// All faults found in architecture and weights, or that the file cannot be read.
pub(super) fn assemble(
    architecture: &Architecture,
    dialect: Dialect,
    store: &Store,
) -> Result<Model, ImportError> {
    let root = &architecture.root;
    let mut survey = Survey::new(dialect, architecture.layers);
    survey.problems.clone_from(&architecture.problems);
    let ends = if architecture.problems.is_empty() { survey.root(root) } else { None };
    survey.read_what_was_not_reached(root, "");

    let declared: Vec<Option<Vec<Declared>>> =
        survey.leaves.iter().map(|leaf| leaf.as_ref().and_then(|leaf| leaf.declared.clone())).collect();
    let Bound { arrays, problems } = weights::bind(root, &declared, store, dialect)?;
    survey.problems.extend(problems);
    let (Some(ends), true) = (ends, survey.problems.is_empty()) else {
        return Err(ImportError::Faulty { problems: survey.problems });
    };

    let mut problems = Vec::new();
    let mut layers: HashMap<usize, Layer> = HashMap::new();
    for draft in &survey.nodes {
        let id = draft.layer.id;
        if layers.contains_key(&id) {
            continue;
        }
        let Some(leaf) = &survey.leaves[id] else { continue };
        let mut tensors = Vec::new();
        for (array, declared) in arrays[id].iter().zip(leaf.declared.iter().flatten()) {
            let values = match array.as_ref().map(super::hdf5::Array::read).transpose() {
                Ok(values) => values.unwrap_or_else(|| [].into()),
                Err(Fault::Damaged(problem)) => {
                    let role = declared.role();
                    problems.push(format!("{}: `{role}`: {problem}", who(&draft.path, &draft.layer.class)));
                    [].into()
                }
                Err(unreadable @ Fault::Unreadable(_)) => return Err(unreadable.into()),
            };
            let shape = array.as_ref().map_or_else(Vec::new, |array| array.shape().to_vec());
            tensors.push(Tensor { shape, values });
        }
        let inputs = channels_last(&draft.layer.config, &leaf.inputs);
        let mut reader = Reader::new(dialect, &draft.layer.config, &inputs, Some(&tensors));
        if let Some(layer) = catalog::read(&draft.layer.class, &mut reader) {
            layers.insert(id, layer);
        }
    }
    if !problems.is_empty() {
        return Err(ImportError::Faulty { problems });
    }
    let nodes = survey.nodes.iter().filter_map(|draft| {
        let layer = draft.part_of(layers.get(&draft.layer.id)?)?.clone();
        let class = draft.layer.class.clone();
        Some(Node { name: draft.name.clone(), class, layer, inputs: draft.inputs.clone() })
    });
    Ok(Model {
        name: root.name.clone(),
        nodes: nodes.collect(),
        input: ends.input,
        outputs: ends.outputs,
        output_names: root.output_names.clone(),
        summary: summary(root, &declared, &ends.members),
    })
}

/// Where the outermost model begins and ends.
struct Ends {
    input: usize,
    outputs: Vec<usize>,
    /// The node that computes each member's output.
    members: Vec<Option<usize>>,
}

/// A layer after its first reading.
struct Leaf {
    /// Its weights; `None` where the class is not supported.
    declared: Option<Vec<Declared>>,
    /// The layer with weights that have a shape but no values; `None` where it has faults.
    layer: Option<Layer>,
    /// Shapes of the inputs of its first call.
    inputs: Vec<Option<Shape>>,
    /// Bytes that its settings take at most.
    size: usize,
}

/// A node to be.
struct Draft<'a> {
    name: String,
    path: String,
    layer: &'a LayerSpec,
    /// Which of the layer's outputs.
    output: usize,
    inputs: Vec<usize>,
}

impl Draft<'_> {
    /// The part of the layer that computes this node's output.
    fn part_of<'b>(&self, layer: &'b Layer) -> Option<&'b Layer> {
        parts(layer).get(self.output)
    }
}

/// What computes each of a layer's outputs.
fn parts(layer: &Layer) -> &[Layer] {
    if let Layer::Several(parts) = layer { parts } else { std::slice::from_ref(layer) }
}

/// What flows between calls.
#[derive(Debug, Clone)]
struct Wire {
    node: usize,
    /// `None` behind a layer with faults.
    shape: Option<Shape>,
}

/// The walk through the tree.
struct Survey<'a> {
    dialect: Dialect,
    leaves: Vec<Option<Leaf>>,
    nodes: Vec<Draft<'a>>,
    calls: HashMap<usize, usize>,
    /// Of layers and of models, and what they take.
    made: usize,
    bytes: usize,
    problems: Vec<String>,
}

impl<'a> Survey<'a> {
    fn new(dialect: Dialect, layers: usize) -> Self {
        Self {
            dialect,
            leaves: (0..layers).map(|_| None).collect(),
            nodes: Vec::new(),
            calls: HashMap::new(),
            made: 0,
            bytes: 0,
            problems: Vec::new(),
        }
    }

    /// Counts a call that takes so many bytes; `None` where that is too much.
    fn count(&mut self, bytes: usize) -> Option<()> {
        self.made += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.made > MAX_CALLS {
            self.problems.push(format!("the model has more than {MAX_CALLS} calls of layers and models"));
            return None;
        }
        if self.bytes > MAX_BYTES {
            self.problems.push(format!("the model's calls take more than {MAX_BYTES} bytes"));
            return None;
        }
        Some(())
    }

    fn root(&mut self, root: &'a ModelSpec) -> Option<Ends> {
        let names = || root.inputs.iter().map(|&input| root.members[input].name.as_str()).collect::<Vec<_>>();
        if root.inputs.len() != 1 {
            self.problems.push(format!(
                "the model has {} inputs (`{}`), expected one image",
                root.inputs.len(),
                names().join("`, `")
            ));
        }
        let mut given = Vec::new();
        for &input in &root.inputs {
            let member = &root.members[input];
            let Body::Layer(layer) = &member.body else { continue };
            given.extend(self.layer(layer, &member.name, &[]).into_iter().flatten());
        }
        let input = given.first()?.node;
        let inside = self.model(root, "", &given)?;
        let outputs = root.outputs.iter().filter_map(|output| inside.get(output).map(|wire| wire.node));
        let outputs: Vec<usize> = outputs.collect();
        if outputs.len() != root.outputs.len() || outputs.is_empty() {
            self.problems.push(format!("model `{}`: its output is never computed", root.name));
        }
        let node = |member: usize| {
            let call = root.members[member].calls.len().checked_sub(1)?;
            inside.get(&Source { member, call, output: 0 }).map(|wire| wire.node)
        };
        Some(Ends { input, outputs, members: (0..root.members.len()).map(node).collect() })
    }

    /// Makes all calls inside a model, each after those it needs; `None` where there are too many.
    fn model(&mut self, model: &'a ModelSpec, path: &str, given: &[Wire]) -> Option<HashMap<Source, Wire>> {
        let mut known: HashMap<Source, Wire> = HashMap::new();
        for (&member, wire) in model.inputs.iter().zip(given) {
            known.insert(Source { member, call: 0, output: 0 }, wire.clone());
        }
        let mut order = Order::new(model);
        while let Some((member, call)) = order.next() {
            if model.inputs.contains(&member) {
                continue;
            }
            let target = &model.members[member];
            let wire = |source: &Source| {
                // Of a layer with faults nobody knows how many outputs it has.
                let faulty =
                    || known.get(&Source { output: 0, ..*source }).filter(|wire| wire.shape.is_none());
                known.get(source).or_else(faulty).cloned()
            };
            let inputs: Option<Vec<Wire>> = target.calls[call].iter().map(wire).collect();
            // An output that does not exist has been told of where it was missing.
            let Some(inputs) = inputs else {
                self.problems.push(format!(
                    "{}: it is called on an output that does not exist",
                    who(&format!("{path}{}", target.name), target.class())
                ));
                continue;
            };
            for (output, wire) in self.call(target, path, &inputs)?.into_iter().enumerate() {
                known.insert(Source { member, call, output }, wire);
            }
        }
        let looped = order.left_over();
        if !looped.is_empty() {
            let names: Vec<&str> = looped.iter().map(|&member| model.members[member].name.as_str()).collect();
            self.problems.push(format!(
                "model `{}`: the layers `{}` wait for each other's output",
                model.name,
                names.join("`, `")
            ));
        }
        Some(known)
    }

    fn call(&mut self, member: &'a Member, path: &str, inputs: &[Wire]) -> Option<Vec<Wire>> {
        let path = format!("{path}{}", member.name);
        match &member.body {
            Body::Layer(layer) => self.layer(layer, &path, inputs),
            Body::Model(model) => {
                if model.inputs.len() != inputs.len() {
                    self.problems.push(format!(
                        "{}: it is called on {} inputs, expected {}",
                        who(&path, member.class()),
                        inputs.len(),
                        model.inputs.len()
                    ));
                }
                self.count(bytes_of_members(model))?;
                let inside = self.model(model, &format!("{path}/"), inputs)?;
                Some(model.outputs.iter().filter_map(|output| inside.get(output).cloned()).collect())
            }
        }
    }

    /// Calls a layer; `None` where there are too many calls.
    fn layer(&mut self, layer: &'a LayerSpec, path: &str, inputs: &[Wire]) -> Option<Vec<Wire>> {
        if self.leaves[layer.id].is_none() {
            self.read(layer, path, inputs.iter().map(|wire| wire.shape.clone()).collect());
        }
        let computed = self.leaves[layer.id].as_ref().and_then(|leaf| leaf.layer.as_ref());
        let given: Option<Vec<Shape>> = inputs.iter().map(|wire| wire.shape.clone()).collect();
        let mut shapes = Vec::new();
        match computed.zip(given) {
            Some((layer_read, given)) => {
                for part in parts(layer_read) {
                    let shape = output_shape(part, &given);
                    if let Err(problem) = &shape {
                        self.problems.push(format!("{}: {problem}", who(path, &layer.class)));
                    }
                    shapes.push(shape.ok());
                }
            }
            None => shapes.push(None),
        }
        let size = self.leaves[layer.id].as_ref().map_or(0, |leaf| leaf.size);
        let axes: usize = shapes.iter().flatten().map(Vec::len).sum();
        self.count(2 * path.len() + 16 * (axes + inputs.len()) + size)?;
        let call = self.calls.entry(layer.id).or_insert(0);
        let name = if *call == 0 { path.to_owned() } else { format!("{path}:{call}") };
        *call += 1;
        let inputs: Vec<usize> = inputs.iter().map(|wire| wire.node).collect();
        let mut wires = Vec::with_capacity(shapes.len());
        for (output, shape) in shapes.into_iter().enumerate() {
            let name = if output == 0 { name.clone() } else { format!("{name}.{output}") };
            let (path, inputs) = (path.to_owned(), inputs.clone());
            self.nodes.push(Draft { name, path, layer, output, inputs });
            wires.push(Wire { node: self.nodes.len() - 1, shape });
        }
        Some(wires)
    }

    /// The first reading of a layer.
    fn read(&mut self, layer: &LayerSpec, path: &str, inputs: Vec<Option<Shape>>) {
        let shapes = channels_last(&layer.config, &inputs);
        let mut reader = Reader::new(self.dialect, &layer.config, &shapes, None);
        let computed = catalog::read(&layer.class, &mut reader);
        // A number of two characters, with its comma, becomes eight bytes.
        let size = 4 * serde_json::to_string(&layer.config).map_or(0, |text| text.len());
        let leaf = match computed {
            None => {
                self.problems
                    .push(format!("{}: layers of this class are not supported", who(path, &layer.class)));
                Leaf { declared: None, layer: None, inputs, size }
            }
            Some(computed) => {
                let reading = reader.finish();
                let sound = reading.problems.is_empty();
                for problem in reading.problems {
                    self.problems.push(format!("{}: {problem}", who(path, &layer.class)));
                }
                // With a fault in the config, what shape the weights should have is not sure either.
                let declared = reading.declared.filter(|_| sound);
                Leaf { declared, layer: Some(computed).filter(|_| sound), inputs, size }
            }
        };
        self.leaves[layer.id] = Some(leaf);
    }

    /// Layers that no call led to still tell their faults.
    fn read_what_was_not_reached(&mut self, model: &ModelSpec, path: &str) {
        for (index, member) in model.members.iter().enumerate() {
            let path = format!("{path}{}", member.name);
            match &member.body {
                Body::Layer(layer) if model.inputs.contains(&index) => {
                    // An inner model's input is whatever it is given.
                    self.leaves[layer.id].get_or_insert_with(|| Leaf {
                        declared: Some(Vec::new()),
                        layer: None,
                        inputs: Vec::new(),
                        size: 0,
                    });
                }
                Body::Layer(layer) => {
                    if self.leaves[layer.id].is_none() {
                        self.read(layer, &path, vec![None]);
                    }
                }
                Body::Model(inner) => self.read_what_was_not_reached(inner, &format!("{path}/")),
            }
        }
    }
}

/// What putting a model's calls in order takes.
fn bytes_of_members(model: &ModelSpec) -> usize {
    let bytes = |member: &Member| {
        64 + member.name.len() + member.calls.iter().map(|inputs| 64 * (1 + inputs.len())).sum::<usize>()
    };
    model.members.iter().map(bytes).sum()
}

/// The calls of a model in an order in which each comes after those it needs, else as in the file.
struct Order {
    ready: BTreeSet<(usize, usize)>,
    waiting: HashMap<(usize, usize), usize>,
    users: HashMap<(usize, usize), Vec<(usize, usize)>>,
}

impl Order {
    fn new(model: &ModelSpec) -> Self {
        let mut order = Self { ready: BTreeSet::new(), waiting: HashMap::new(), users: HashMap::new() };
        for (member, target) in model.members.iter().enumerate() {
            for (call, inputs) in target.calls.iter().enumerate() {
                if inputs.is_empty() {
                    order.ready.insert((member, call));
                } else {
                    order.waiting.insert((member, call), inputs.len());
                }
                for source in inputs {
                    order.users.entry((source.member, source.call)).or_default().push((member, call));
                }
            }
        }
        order
    }

    fn next(&mut self) -> Option<(usize, usize)> {
        let call = self.ready.pop_first()?;
        for user in self.users.remove(&call).unwrap_or_default() {
            if let Some(count) = self.waiting.get_mut(&user) {
                *count -= 1;
                if *count == 0 {
                    self.waiting.remove(&user);
                    self.ready.insert(user);
                }
            }
        }
        Some(call)
    }

    fn left_over(&self) -> BTreeSet<usize> {
        self.waiting.keys().map(|&(member, _)| member).collect()
    }
}

/// Rows as `model.summary()` shows them.
fn summary(root: &ModelSpec, declared: &[Option<Vec<Declared>>], nodes: &[Option<usize>]) -> Vec<SummaryRow> {
    let mut rows = Vec::new();
    for (member, node) in root.members.iter().zip(nodes) {
        // A `Sequential` does not count its input among its layers, and nobody counts constants.
        let hidden = (root.kind == ModelKind::Sequential && member.class() == "InputLayer")
            || member.class() == CONSTANT_CLASS;
        let Some(node) = node.filter(|_| !hidden) else { continue };
        let Parameters { all, trainable } = parameters(member, declared);
        let class = member.class().to_owned();
        rows.push(SummaryRow { name: member.name.clone(), class, node, parameters: all, trainable });
    }
    rows
}

#[derive(Default)]
struct Parameters {
    all: usize,
    trainable: usize,
}

fn parameters(member: &Member, declared: &[Option<Vec<Declared>>]) -> Parameters {
    let mut sum = Parameters::default();
    match &member.body {
        Body::Layer(layer) => {
            for weight in declared[layer.id].iter().flatten() {
                let sizes = weight.shape.iter().map(|size| size.unwrap_or(0));
                let count = sizes.fold(1, usize::saturating_mul);
                sum.all = sum.all.saturating_add(count);
                sum.trainable = sum.trainable.saturating_add(if weight.trainable { count } else { 0 });
            }
        }
        Body::Model(model) => {
            for inner in &model.members {
                let Parameters { all, trainable } = parameters(inner, declared);
                sum.all = sum.all.saturating_add(all);
                sum.trainable = sum.trainable.saturating_add(trainable);
            }
        }
    }
    if !member.trainable {
        sum.trainable = 0;
    }
    sum
}

fn who(path: &str, class: &str) -> String {
    format!("layer `{path}` (`{class}`)")
}
