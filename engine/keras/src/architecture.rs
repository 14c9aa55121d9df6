//! Parses the JSON under `model_config`, or in an archive's `config.json`, to a tree of models and layers with their calls.
//!
//! Both dialects and both kinds of models give the same tree. A `Sequential` becomes a chain of calls.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value};

use super::json::{shape_after_batch, shown};

mod inbound;
mod operations;

use self::inbound::{Given, Reference};
pub(super) use self::operations::{ARGUMENTS, CONSTANT_CLASS, INPUT};

/// The version of Keras that wrote the file. The two differ in the numbering of calls, the order of weights and a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Up to 2.x, `tf.keras` and `tf_keras`.
    Keras2,
    /// 3.x.
    Keras3,
}

/// A model: the outermost, or one used as a layer.
#[derive(Debug)]
pub(super) struct ModelSpec {
    pub(super) name: String,
    pub(super) kind: ModelKind,
    pub(super) members: Vec<Member>,
    /// The members that are its inputs, in order.
    pub(super) inputs: Vec<usize>,
    pub(super) outputs: Vec<Source>,
    /// The names of its outputs, in the same order.
    pub(super) output_names: Vec<String>,
}

/// The two kinds of model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ModelKind {
    Functional,
    Sequential,
}

/// A layer, or a model used as one.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) trainable: bool,
    pub(super) body: Body,
    /// The inputs of each call.
    pub(super) calls: Vec<Vec<Source>>,
}

#[derive(Debug)]
pub(super) enum Body {
    Layer(LayerSpec),
    Model(ModelSpec),
}

/// A layer's class and settings, as in the file.
#[derive(Debug)]
pub(super) struct LayerSpec {
    /// Index among all layers of the file.
    pub(super) id: usize,
    pub(super) class: String,
    pub(super) config: Map<String, Value>,
}

/// One output of one call of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Source {
    pub(super) member: usize,
    pub(super) call: usize,
    pub(super) output: usize,
}

/// The parsed JSON.
#[derive(Debug)]
pub(super) struct Architecture {
    pub(super) root: ModelSpec,
    /// Number of layers.
    pub(super) layers: usize,
    /// Faults; where there are any, calls may be missing.
    pub(super) problems: Vec<String>,
}

/// Most bytes of the JSON's values in memory. The largest of Keras's own models has 2 MB of text, which take 40 MB.
const MAX_VALUES: usize = 96 << 20;

/// Longest path of a layer, in bytes: its name and those of the models around it. Every layer within a model repeats it.
const MAX_PATH: usize = 1024;

/// Keys of a model's own input shape: in Keras 3, and in Keras 2 for a nested model.
const SHAPES_OF_A_MODEL: [&str; 3] = ["build_input_shape", "batch_input_shape", "batch_shape"];

/// Parses the JSON.
///
/// # Errors
/// It holds no model; says why.
pub(super) fn parse(json: &str, dialect: Dialect) -> Result<Architecture, String> {
    let bytes = bytes_in_memory(json);
    if bytes > MAX_VALUES {
        return Err(format!("the model's config takes {bytes} bytes, expected at most {MAX_VALUES}"));
    }
    let value: Value =
        serde_json::from_str(json).map_err(|e| format!("the model's config is not JSON: {e}"))?;
    let class = class_of(&value).unwrap_or_default();
    let Some(kind) = model_kind(&class) else {
        return Err(format!("the model is of class `{class}`, expected `Functional` or `Sequential`"));
    };
    let Some(config) = value.get("config") else {
        return Err("the model has no `config`".to_owned());
    };
    let mut parser = Parser { dialect, layers: 0, problems: Vec::new() };
    let root = parser.model(kind, config, "").ok_or("the model has no list of `layers`")?;
    Ok(Architecture { root, layers: parser.layers, problems: parser.problems })
}

/// Most bytes that the values of a text take. An object has room for eleven entries, a list for four.
fn bytes_in_memory(json: &str) -> usize {
    let bytes = |byte| match byte {
        b'{' => 768,
        b'[' | b',' => 128,
        _ => 1,
    };
    json.bytes().map(bytes).sum()
}

struct Parser {
    dialect: Dialect,
    layers: usize,
    problems: Vec<String>,
}

impl Parser {
    /// `path` is the model's path: empty for the outermost, else ending with `/`.
    fn model(&mut self, kind: ModelKind, config: &Value, path: &str) -> Option<ModelSpec> {
        // Early Keras 2 wrote a `Sequential` as the bare list.
        let layers = config.as_array().or_else(|| config.get("layers")?.as_array())?;
        let name = config.get("name").and_then(Value::as_str).unwrap_or("model").to_owned();
        self.check_keys(config, &name);
        let members: Vec<Member> = layers.iter().filter_map(|layer| self.member(layer, path)).collect();
        self.check_names(&members, path);
        match kind {
            ModelKind::Sequential => self.sequential(name, members, config),
            ModelKind::Functional => self.functional(name, members, (config, layers), path),
        }
    }

    fn check_keys(&mut self, config: &Value, name: &str) {
        let known = ["name", "layers", "input_layers", "output_layers", "trainable", "dtype"];
        let known = || known.iter().chain(&SHAPES_OF_A_MODEL);
        let keys = config.as_object().into_iter().flat_map(Map::keys);
        for key in keys.filter(|key| !known().any(|known| known == key)) {
            self.problems
                .push(format!("model `{name}`: its config has the key `{key}`, which is not supported"));
        }
    }

    fn check_names(&mut self, members: &[Member], path: &str) {
        let mut seen = BTreeSet::new();
        for member in members {
            if !seen.insert(member.name.as_str()) {
                self.problems.push(format!("two layers are called `{path}{}`, expected one", member.name));
            }
        }
    }

    fn member(&mut self, layer: &Value, path: &str) -> Option<Member> {
        let config = layer.get("config");
        let name = layer.get("name").or_else(|| config?.get("name")).and_then(Value::as_str);
        let (Some(class), Some(name), Some(config)) = (class_of(layer), name, config) else {
            self.problems.push(format!("a layer has no class, name or config: {}", shown(layer)));
            return None;
        };
        let length = path.len() + name.len();
        if length > MAX_PATH {
            let start: String = name.chars().take(64).collect();
            let fact = format!("has a name of {length} bytes with those of the models around it");
            self.problems.push(format!("layer `{start}…` {fact}, expected at most {MAX_PATH}"));
            return None;
        }
        let trainable = config.get("trainable").and_then(Value::as_bool).unwrap_or(true);
        let body = if let Some(kind) = model_kind(&class) {
            let inner = self.model(kind, config, &format!("{path}{name}/"));
            if inner.is_none() {
                self.problems.push(format!("layer `{path}{name}` (`{class}`): it has no list of `layers`"));
            }
            Body::Model(inner?)
        } else {
            let config = config.as_object().cloned().unwrap_or_default();
            let operation = operations::class(layer, &class, self.dialect);
            Body::Layer(self.layer(operation.unwrap_or(class), config))
        };
        Some(Member { name: name.to_owned(), trainable, body, calls: Vec::new() })
    }

    fn layer(&mut self, class: String, config: Map<String, Value>) -> LayerSpec {
        self.layers += 1;
        LayerSpec { id: self.layers - 1, class, config }
    }

    fn sequential(&mut self, name: String, mut members: Vec<Member>, config: &Value) -> Option<ModelSpec> {
        if !members.first().is_some_and(is_input) {
            let own = || SHAPES_OF_A_MODEL.iter().find_map(|key| config.get(key)).cloned();
            let shape = members.first().and_then(input_shape).or_else(own);
            let mut settings = Map::new();
            // A nested model without a shape takes inputs of any shape.
            settings.insert("batch_shape".to_owned(), shape.unwrap_or(Value::Null));
            let body = Body::Layer(self.layer("InputLayer".to_owned(), settings));
            let input = Member { name: format!("{name}_input"), trainable: true, body, calls: Vec::new() };
            members.insert(0, input);
        }
        for (index, member) in members.iter_mut().enumerate() {
            let before = index.checked_sub(1).map(|member| Source { member, call: 0, output: 0 });
            member.calls = vec![before.into_iter().collect()];
        }
        let last = Source { member: members.len() - 1, call: 0, output: 0 };
        let output_names = members.last().map(|member| member.name.clone()).into_iter().collect();
        let (kind, inputs, outputs) = (ModelKind::Sequential, vec![0], vec![last]);
        Some(ModelSpec { name, kind, members, inputs, outputs, output_names })
    }

    fn functional(
        &mut self,
        name: String,
        mut members: Vec<Member>,
        (config, layers): (&Value, &[Value]),
        path: &str,
    ) -> Option<ModelSpec> {
        let calls: Vec<Vec<Vec<Reference>>> = self.calls(&mut members, layers, path);
        let mut ends = |key: &str| {
            inbound::ends(config.get(key).unwrap_or(&Value::Null)).unwrap_or_else(|problem| {
                self.problems.push(format!("model `{name}`: `{key}`: {problem}"));
                Vec::new()
            })
        };
        let (_, inputs): (Vec<String>, Vec<Reference>) = ends("input_layers").into_iter().unzip();
        let (output_names, outputs): (Vec<String>, Vec<Reference>) =
            ends("output_layers").into_iter().unzip();
        let within = Numbering::new(&members, &calls, calls.iter().flatten().flatten(), |member| {
            match (self.dialect, member) {
                (Dialect::Keras2, Body::Model(model)) => model.members.first().is_some_and(is_input),
                (Dialect::Keras2 | Dialect::Keras3, _) => false,
            }
        });
        let at_ends = Numbering::new(&members, &calls, inputs.iter().chain(&outputs), |member| {
            match (self.dialect, member) {
                (Dialect::Keras2, Body::Model(model)) => model.members.first().is_some_and(is_input),
                (Dialect::Keras3, Body::Model(model)) => model.kind == ModelKind::Functional,
                (Dialect::Keras2 | Dialect::Keras3, Body::Layer(_)) => false,
            }
        });
        let mut unknown = BTreeSet::new();
        let mut resolve = |numbering: &Numbering, references: &[Reference]| -> Vec<Source> {
            let found = references.iter().filter_map(|reference| {
                let source = numbering.resolve(reference);
                // A layer without any calls has a fault already.
                if source.is_none() && !numbering.has_no_calls(&reference.layer) {
                    unknown.insert(format!("call {} of `{}`", reference.node, reference.layer));
                }
                source
            });
            found.collect()
        };
        let inputs: Vec<usize> = resolve(&at_ends, &inputs).into_iter().map(|source| source.member).collect();
        let outputs = resolve(&at_ends, &outputs);
        let calls: Vec<Vec<Vec<Source>>> = calls
            .iter()
            .map(|calls| calls.iter().map(|references| resolve(&within, references)).collect())
            .collect();
        for what in unknown {
            self.problems.push(format!("model `{name}`: {what} is used, but there is no such call"));
        }
        for (member, calls) in members.iter_mut().zip(calls) {
            member.calls = calls;
        }
        Some(ModelSpec { name, kind: ModelKind::Functional, members, inputs, outputs, output_names })
    }

    fn calls(&mut self, members: &mut Vec<Member>, layers: &[Value], path: &str) -> Vec<Vec<Vec<Reference>>> {
        let by_name: HashMap<&str, &Value> = layers
            .iter()
            .filter_map(|layer| {
                Some((layer.get("name").or_else(|| layer.get("config")?.get("name"))?.as_str()?, layer))
            })
            .collect();
        let mut all = Vec::new();
        let mut constants = Vec::new();
        for member in members.iter_mut() {
            if is_input(member) {
                all.push(vec![Vec::new()]);
                continue;
            }
            let nodes = by_name.get(member.name.as_str()).and_then(|layer| layer.get("inbound_nodes"));
            let nodes = nodes.unwrap_or(&Value::Null);
            let calls = match &mut member.body {
                Body::Layer(layer) if layer.is_operation() => operations::calls(nodes).map(|calls| {
                    layer.config.extend(calls.arguments);
                    calls.inputs
                }),
                Body::Layer(_) | Body::Model(_) => {
                    let mut name = |given| match given {
                        Given::Tensor(reference) => reference,
                        Given::Constant(value) => {
                            let layer = format!("{}/constant{}", member.name, constants.len());
                            constants.push((layer.clone(), value));
                            Reference { layer, node: 0, output: 0 }
                        }
                    };
                    inbound::calls(nodes, member.class(), self.dialect).map(|calls| {
                        calls.into_iter().map(|call| call.into_iter().map(&mut name).collect()).collect()
                    })
                }
            };
            all.push(calls.unwrap_or_else(|problem| {
                self.problems.push(format!(
                    "layer `{path}{}` (`{}`): {problem}",
                    member.name,
                    member.class()
                ));
                Vec::new()
            }));
        }
        // A constant becomes a member without inputs.
        for (name, value) in constants {
            let config = Map::from_iter([("value".to_owned(), value)]);
            let body = Body::Layer(self.layer(CONSTANT_CLASS.to_owned(), config));
            members.push(Member { name, trainable: false, body, calls: Vec::new() });
            all.push(vec![Vec::new()]);
        }
        all
    }
}

impl LayerSpec {
    /// Returns whether it is an operation and not a layer of Keras.
    pub(super) fn is_operation(&self) -> bool {
        self.class.starts_with("tf.") || self.class.starts_with("ops.")
    }
}

impl Member {
    /// The class, as current versions of Keras write it.
    pub(super) fn class(&self) -> &str {
        match &self.body {
            Body::Layer(layer) => &layer.class,
            Body::Model(model) => match model.kind {
                ModelKind::Functional => "Functional",
                ModelKind::Sequential => "Sequential",
            },
        }
    }
}

/// Converts the numbers of calls in the file to indices from 0.
///
/// Keras calls a model with an input once when it is made. Whether the numbers of its calls count this one depends on the
/// version. The numbers in use show it: 0 occurs only if they do not, and the last number only if they do.
struct Numbering {
    members: HashMap<String, (usize, usize, usize)>,
}

impl Numbering {
    fn new<'a>(
        members: &[Member],
        calls: &[Vec<Vec<Reference>>],
        references: impl Iterator<Item = &'a Reference>,
        counts_making: impl Fn(&Body) -> bool,
    ) -> Self {
        let mut used: HashMap<&str, BTreeSet<usize>> = HashMap::new();
        for reference in references {
            used.entry(&reference.layer).or_default().insert(reference.node);
        }
        let first_number = |member: &Member, count: usize| {
            let used = used.get(member.name.as_str());
            match (&member.body, used) {
                (Body::Layer(_), _) | (Body::Model(_), None) => 0,
                (Body::Model(_), Some(used)) if used.contains(&0) => 0,
                (Body::Model(_), Some(used)) if used.contains(&count) => 1,
                (Body::Model(_), Some(_)) => usize::from(counts_making(&member.body)),
            }
        };
        let entry = |(index, (member, calls)): (usize, (&Member, &Vec<Vec<Reference>>))| {
            (member.name.clone(), (index, first_number(member, calls.len()), calls.len()))
        };
        Self { members: members.iter().zip(calls).enumerate().map(entry).collect() }
    }

    fn has_no_calls(&self, layer: &str) -> bool {
        self.members.get(layer).is_some_and(|&(_, _, count)| count == 0)
    }

    fn resolve(&self, reference: &Reference) -> Option<Source> {
        let &(member, first, count) = self.members.get(&reference.layer)?;
        let call = reference.node.checked_sub(first).filter(|&call| call < count)?;
        Some(Source { member, call, output: reference.output })
    }
}

fn is_input(member: &Member) -> bool {
    matches!(&member.body, Body::Layer(layer) if layer.class == "InputLayer")
}

/// The input shape of the first member of a `Sequential`, with the batch.
fn input_shape(member: &Member) -> Option<Value> {
    match &member.body {
        Body::Layer(layer) => {
            let value = layer.config.get("batch_shape").or_else(|| layer.config.get("batch_input_shape"))?;
            shape_after_batch(value).map(|_| value.clone())
        }
        Body::Model(model) => model.members.get(*model.inputs.first()?).and_then(input_shape),
    }
}

fn model_kind(class: &str) -> Option<ModelKind> {
    match class {
        // Keras up to 2.3 called it `Model`.
        "Functional" | "Model" => Some(ModelKind::Functional),
        "Sequential" => Some(ModelKind::Sequential),
        _ => None,
    }
}

/// The class of a serialized object. A custom class has its package before it.
pub(super) fn class_of(value: &Value) -> Option<String> {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let class = text("class_name")?;
    let own_module = text("module").filter(|module| {
        let package = module.split('.').next().unwrap_or_default();
        !["keras", "tf_keras", "tensorflow"].contains(&package)
    });
    match (text("registered_name"), own_module) {
        (Some(registered), _) if registered != class => Some(registered.to_owned()),
        (_, Some(module)) => Some(format!("{module}>{class}")),
        (Some(_) | None, None) => Some(class.to_owned()),
    }
}
