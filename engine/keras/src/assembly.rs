//! Assembles a [`Model`]: flattens the tree of models to a list of layer calls, attaches the weights, and collects every
//! fault. A first traversal lowers each call with weights that were not read yet, which tells the shapes.

use std::collections::HashMap;

use model::{Builder, Fault as CallFault, Shape, Tensor, Value};
use serde_json::{Map, Value as Json};

use super::architecture::{Architecture, Body, Dialect, LayerSpec, Member, ModelSpec, Source};
use super::hdf5::Fault;
use super::layers::{Layer, catalog};
use super::reader::{Declared, Reader, channels_last};
use super::shapes::{self, after_batch};
use super::weights::{self, Bound, Store};
use super::{ImportError, Model, Node};

mod allowance;
mod dynamic_sizes;
mod order;
mod summary;

use self::allowance::{Allowance, bytes_of_members};
use self::dynamic_sizes::{Input, Sizes};
use self::order::Order;
use self::summary::summary;

/// Assembles the model.
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
    survey.read_unreached(root, "");

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
            if let Some(problem) = not_finite(&values) {
                let role = declared.role();
                problems.push(format!("{}: `{role}` {problem}", who(&draft.path, &draft.layer.class)));
            }
            let shape = array.as_ref().map_or_else(Vec::new, |array| array.shape().to_vec());
            tensors.push(Tensor { shape, values });
        }
        let config = survey.config_of(draft.layer);
        let inputs = channels_last(config, &leaf.inputs);
        let mut reader = Reader::new(dialect, config, &inputs, Some(&tensors));
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

/// Describes weights that are not finite. A ReLU would turn NaN into zeros.
fn not_finite(values: &[f32]) -> Option<String> {
    let first = values.iter().find(|value| !value.is_finite())?;
    let (count, all) = (values.iter().filter(|value| !value.is_finite()).count(), values.len());
    Some(format!(
        "has {count} of {all} values that are not finite (the first is {first}), expected numbers: the file is damaged, \
         or the training failed"
    ))
}

/// The input and the outputs of the outermost model.
struct Ends {
    input: usize,
    outputs: Vec<usize>,
    /// The node that computes each member's output.
    members: Vec<Option<usize>>,
}

/// A layer after its first traversal.
struct Leaf {
    /// Its weights; `None` where the class is not supported.
    declared: Option<Vec<Declared>>,
    /// The layer with weights that have a shape but no values; `None` where it has faults.
    layer: Option<Layer>,
    /// Sizes of the inputs of its first call.
    inputs: Vec<Option<shapes::Sizes>>,
    /// Most bytes of its settings.
    size: usize,
}

impl Leaf {
    /// A layer that computes nothing.
    fn without_weights() -> Self {
        Self { declared: Some(Vec::new()), layer: None, inputs: Vec::new(), size: 0 }
    }
}

/// A node without its weights.
struct Draft<'a> {
    name: String,
    path: String,
    layer: &'a LayerSpec,
    /// The index of the layer's output.
    output: usize,
    inputs: Vec<usize>,
}

impl Draft<'_> {
    /// The layer that computes this node's output.
    fn part_of<'b>(&self, layer: &'b Layer) -> Option<&'b Layer> {
        parts(layer).get(self.output)
    }
}

/// The layers that compute the outputs of a layer, one for each.
fn parts(layer: &Layer) -> &[Layer] {
    if let Layer::MultiOutput(parts) = layer { parts } else { std::slice::from_ref(layer) }
}

/// The output of a call.
#[derive(Debug, Clone)]
struct Wire {
    /// The node that computes it; none where it is sizes.
    node: usize,
    /// `None` after a layer with faults.
    value: Option<Value>,
    /// The sizes of another output, where this one is sizes and not values.
    sizes: Option<Sizes>,
}

impl Wire {
    /// The node, where it computes values.
    fn computed(&self) -> Option<usize> {
        self.sizes.is_none().then_some(self.node)
    }
}

/// The traversal of the tree.
struct Survey<'a> {
    dialect: Dialect,
    leaves: Vec<Option<Leaf>>,
    /// Configs of operations that were called on sizes, with the sizes filled in; by the layer's id.
    settled: HashMap<usize, Map<String, Json>>,
    /// What the calls compute, as far as the first traversal knows.
    builder: Builder,
    nodes: Vec<Draft<'a>>,
    calls: HashMap<usize, usize>,
    allowance: Allowance,
    problems: Vec<String>,
}

impl<'a> Survey<'a> {
    fn new(dialect: Dialect, layers: usize) -> Self {
        Self {
            dialect,
            leaves: (0..layers).map(|_| None).collect(),
            settled: HashMap::new(),
            builder: Builder::new(),
            nodes: Vec::new(),
            calls: HashMap::new(),
            allowance: Allowance::default(),
            problems: Vec::new(),
        }
    }

    /// Counts a call of so many bytes. Returns `None` where that is too much.
    fn count(&mut self, bytes: usize) -> Option<()> {
        self.allowance.count(bytes).map_err(|problem| self.problems.push(problem)).ok()
    }

    fn shape_of(&self, wire: &Wire) -> Option<&Shape> {
        wire.value.map(|value| self.builder.shape(value))
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
        let ends: Vec<&Wire> = root.outputs.iter().filter_map(|output| inside.get(output)).collect();
        let outputs: Vec<usize> = ends.iter().filter_map(|wire| wire.computed()).collect();
        let rows = ends.iter().filter_map(|wire| self.shape_of(wire)).map(Shape::rows);
        if let Some(rows) = rows.into_iter().find(|rows| *rows != 1) {
            self.problems.push(format!(
                "model `{}`: its output has {rows} rows for each image, since a reshape folds parts of the image into \
                 the batch, expected one that keeps the batch",
                root.name
            ));
        }
        if outputs.len() != root.outputs.len() || outputs.is_empty() {
            self.problems.push(format!("model `{}`: its output is never computed", root.name));
        }
        let node = |member: usize| {
            let call = root.members[member].calls.len().checked_sub(1)?;
            inside.get(&Source { member, call, output: 0 }).and_then(Wire::computed)
        };
        Some(Ends { input, outputs, members: (0..root.members.len()).map(node).collect() })
    }

    /// Makes all calls inside a model, each after those it depends on. Returns `None` where there are too many.
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
                // The number of outputs of a layer with faults is unknown.
                let faulty =
                    || known.get(&Source { output: 0, ..*source }).filter(|wire| wire.value.is_none());
                known.get(source).or_else(faulty).cloned()
            };
            let inputs: Option<Vec<Wire>> = target.calls[call].iter().map(wire).collect();
            // An output that a call does not have is a fault.
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

    /// Calls a layer. Returns `None` where there are too many calls.
    fn layer(&mut self, layer: &'a LayerSpec, path: &str, inputs: &[Wire]) -> Option<Vec<Wire>> {
        if let Some(wires) = self.sizes(layer, path, inputs) {
            self.count(2 * path.len() + 512)?;
            return Some(wires);
        }
        let inputs: Vec<&Wire> = inputs.iter().filter(|wire| wire.sizes.is_none()).collect();
        if self.leaves[layer.id].is_none() {
            let known = inputs.iter().map(|wire| self.shape_of(wire).map(after_batch)).collect();
            self.read(layer, path, known);
        }
        let values = self.lower(layer, path, &inputs);
        let size = self.leaves[layer.id].as_ref().map_or(0, |leaf| leaf.size);
        self.count(2 * path.len() + 16 * inputs.len() + size)?;
        let call = self.calls.entry(layer.id).or_insert(0);
        let name = if *call == 0 { path.to_owned() } else { format!("{path}:{call}") };
        *call += 1;
        let inputs: Vec<usize> = inputs.iter().map(|wire| wire.node).collect();
        let mut wires = Vec::with_capacity(values.len());
        for (output, value) in values.into_iter().enumerate() {
            let name = if output == 0 { name.clone() } else { format!("{name}.{output}") };
            let (path, inputs) = (path.to_owned(), inputs.clone());
            self.nodes.push(Draft { name, path, layer, output, inputs });
            wires.push(Wire { node: self.nodes.len() - 1, value, sizes: None });
        }
        Some(wires)
    }

    /// Lowers a call to tell what is wrong with it, and the shapes of its outputs. Its weights were not read yet.
    fn lower(&mut self, layer: &LayerSpec, path: &str, inputs: &[&Wire]) -> Vec<Option<Value>> {
        let read = self.leaves[layer.id].as_ref().and_then(|leaf| leaf.layer.as_ref());
        let given: Option<Vec<Value>> = inputs.iter().map(|wire| wire.value).collect();
        let Some((read, given)) = read.zip(given) else { return vec![None] };
        let mut values = Vec::new();
        for part in parts(read) {
            // A graph has one input, but a faulty model may have several.
            let value = if let Layer::Input { shape } = part {
                self.builder.unresolved(&[], Shape::batched(shape.iter().copied()))
            } else {
                part.lower(&mut self.builder, &given)
            };
            let value = value.and_then(|value| self.with_batch_first(value));
            match &value {
                Ok(value) => self.allowance.take_nodes(*value, &self.builder),
                Err(CallFault(problem)) => {
                    self.allowance.take_fault();
                    self.problems.push(format!("{}: {problem}", who(path, &layer.class)));
                }
            }
            values.push(value.ok());
        }
        values
    }

    /// Fails for a value whose images lie along another axis than the first. What reads it would take them apart.
    fn with_batch_first(&self, value: Value) -> Result<Value, CallFault> {
        let shape = self.builder.shape(value);
        if shape.iter().skip(1).any(|size| size.is_batch()) {
            return Err(CallFault(format!("its output has shape {shape}, expected the batch first")));
        }
        Ok(value)
    }

    /// Returns the output of an operation on sizes. Where sizes are only arguments of an operation, fills them in.
    fn sizes(&mut self, layer: &LayerSpec, path: &str, inputs: &[Wire]) -> Option<Vec<Wire>> {
        let given = |wire: &Wire| wire.sizes.is_some();
        let asked: Vec<Input> = inputs
            .iter()
            .map(|wire| Input { sizes: wire.sizes.as_ref(), shape: self.shape_of(wire) })
            .collect();
        if let Some(sizes) = dynamic_sizes::of(layer, &asked) {
            self.leaves[layer.id].get_or_insert_with(Leaf::without_weights);
            let sizes = sizes.unwrap_or_else(|problem| {
                self.problems.push(format!("{}: {problem}", who(path, &layer.class)));
                Sizes::List(Vec::new())
            });
            return Some(vec![Wire { node: usize::MAX, value: None, sizes: Some(sizes) }]);
        }
        if !inputs.iter().any(given) {
            return None;
        }
        let sizes: Vec<Option<&Sizes>> = inputs.iter().map(|wire| wire.sizes.as_ref()).collect();
        let config = dynamic_sizes::settled(&layer.config, &sizes).into_owned();
        let before = self.settled.get(&layer.id).filter(|before| **before != config);
        if before.is_some() || !layer.is_operation() || inputs.iter().all(given) {
            self.problems.push(format!(
                "{}: it is called on sizes of another layer's output, expected values, or the same sizes each time",
                who(path, &layer.class)
            ));
        }
        self.settled.insert(layer.id, config);
        None
    }

    /// The layer's config, with the sizes that it is called on filled in.
    fn config_of<'b>(&'b self, layer: &'b LayerSpec) -> &'b Map<String, Json> {
        self.settled.get(&layer.id).unwrap_or(&layer.config)
    }

    /// Reads a layer, the first traversal.
    fn read(&mut self, layer: &LayerSpec, path: &str, inputs: Vec<Option<shapes::Sizes>>) {
        let config = self.config_of(layer).clone();
        let shapes = channels_last(&config, &inputs);
        let mut reader = Reader::new(self.dialect, &config, &shapes, None);
        let computed = catalog::read(&layer.class, &mut reader);
        // A number takes at least two characters, with its comma, and eight bytes in memory.
        let size = 4 * serde_json::to_string(&config).map_or(0, |text| text.len());
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
                // A fault in the config makes the shapes of the weights uncertain.
                let declared = reading.declared.filter(|_| sound);
                Leaf { declared, layer: Some(computed).filter(|_| sound), inputs, size }
            }
        };
        self.leaves[layer.id] = Some(leaf);
    }

    /// Reads the layers that no call reached, for their faults.
    fn read_unreached(&mut self, model: &ModelSpec, path: &str) {
        for (index, member) in model.members.iter().enumerate() {
            let path = format!("{path}{}", member.name);
            match &member.body {
                Body::Layer(layer) if model.inputs.contains(&index) => {
                    // An inner model's input is whatever it is given.
                    self.leaves[layer.id].get_or_insert_with(Leaf::without_weights);
                }
                Body::Layer(layer) => {
                    if self.leaves[layer.id].is_none() {
                        self.read(layer, &path, vec![None]);
                    }
                }
                Body::Model(inner) => self.read_unreached(inner, &format!("{path}/")),
            }
        }
    }
}

fn who(path: &str, class: &str) -> String {
    format!("layer `{path}` (`{class}`)")
}
