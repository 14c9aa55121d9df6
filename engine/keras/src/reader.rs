//! Reads the config of one layer. The code asks for every key by name and declares every weight. A key that it did
//! not ask for is a fault, so no key that changes what a layer computes goes unnoticed.
//!
//! The same code reads a layer twice. The first pass finds the names and shapes of its weights. The second pass has their
//! values.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::Tensor;
use super::architecture::Dialect;
use super::json::{number, plain, shown, size};
use super::shapes::{Sizes, describe};

mod arguments;
mod parts;

pub(super) use self::arguments::input_number;
pub(super) use self::parts::Location;

/// Keras's word for images whose channels come before their rows.
const CHANNELS_FIRST: &str = "channels_first";

/// Keys that every layer may have and that do not change what it computes.
const HARMLESS: [&str; 8] = [
    "name",
    "trainable",
    "batch_input_shape",
    "batch_shape",
    "build_input_shape",
    "dynamic",
    // An archive has the kernel merged with its LoRA update. An .hdf5 file has the update as weights of its own, which are
    // faults.
    "lora_rank",
    "lora_alpha",
];

/// Endings of keys that matter to training only.
const TRAINING_ENDINGS: [&str; 3] = ["_initializer", "_regularizer", "_constraint"];

/// A weight that a layer has.
#[derive(Debug, Clone)]
pub(super) struct Declared {
    /// The names that Keras gives it, newest first.
    pub(super) names: &'static [&'static str],
    /// Its sizes; `None` where they are unknown because of an earlier fault.
    pub(super) shape: Sizes,
    /// Whether training changes it.
    pub(super) trainable: bool,
    /// Whether inference needs it.
    pub(super) wanted: bool,
    /// Keras's name of the layer inside this one that the weight belongs to.
    pub(super) owner: Option<&'static str>,
    /// Where an archive keeps it.
    pub(super) location: Location,
}

impl Declared {
    /// The name of the weight in an error.
    pub(super) fn role(&self) -> String {
        self.owner.map_or_else(|| self.names[0].to_owned(), |owner| format!("{owner}/{}", self.names[0]))
    }
}

/// What training and inference do with a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Changed by gradients.
    Trainable,
    /// A statistic that training updates without gradients.
    Statistic,
    /// Not needed for inference.
    Unneeded,
}

/// The state of reading one layer.
pub(super) struct Reader<'a> {
    pub(super) dialect: Dialect,
    config: &'a Map<String, Value>,
    inputs: &'a [Option<Sizes>],
    asked: BTreeSet<&'static str>,
    ignores_everything: bool,
    unsure: bool,
    /// How many arguments of an operation's call were asked for by position.
    positions: usize,
    /// The owner of the weights that are declared next.
    owner: Option<&'static str>,
    folder: Vec<&'static [&'static str]>,
    /// In the second pass: the declared weights, in order.
    given: Option<std::slice::Iter<'a, Tensor>>,
    declared: Vec<Declared>,
    problems: Vec<String>,
}

/// The result of a pass.
pub(super) struct Reading {
    /// The weights, in the order of the layer; `None` where they are unknown because of an earlier fault.
    pub(super) declared: Option<Vec<Declared>>,
    /// Faults of the config, without the layer's name.
    pub(super) problems: Vec<String>,
}

/// The shapes of a layer's inputs with the channels last, whatever its `data_format` is.
pub(super) fn channels_last(config: &Map<String, Value>, inputs: &[Option<Sizes>]) -> Vec<Option<Sizes>> {
    let mut inputs = inputs.to_vec();
    if is_channels_first(config) {
        inputs.iter_mut().flatten().filter(|shape| !shape.is_empty()).for_each(|shape| shape.rotate_left(1));
    }
    inputs
}

fn is_channels_first(config: &Map<String, Value>) -> bool {
    config.get("data_format").is_some_and(|format| format == CHANNELS_FIRST)
}

impl<'a> Reader<'a> {
    /// Makes a reader of a layer whose inputs have these shapes, as far as known. [`channels_last`] gives them.
    pub(super) fn new(
        dialect: Dialect,
        config: &'a Map<String, Value>,
        inputs: &'a [Option<Sizes>],
        given: Option<&'a [Tensor]>,
    ) -> Self {
        Self {
            dialect,
            config,
            inputs,
            asked: BTreeSet::new(),
            ignores_everything: false,
            unsure: false,
            positions: 0,
            owner: None,
            folder: Vec::new(),
            given: given.map(<[Tensor]>::iter),
            declared: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Ends the pass. Every key that was not asked for is a fault.
    pub(super) fn finish(mut self) -> Reading {
        if self.ignores_everything {
            return Reading {
                declared: Some(self.declared).filter(|_| !self.unsure),
                problems: self.problems,
            };
        }
        self.check_dtype();
        let unknown: Vec<String> = self
            .config
            .keys()
            .filter(|key| !self.asked.contains(key.as_str()) && !HARMLESS.contains(&key.as_str()))
            .filter(|key| !TRAINING_ENDINGS.iter().any(|ending| key.ends_with(ending)))
            .map(|key| format!("its config has the key `{key}`, which is not supported"))
            .collect();
        self.problems.extend(unknown);
        Reading { declared: Some(self.declared).filter(|_| !self.unsure), problems: self.problems }
    }

    /// Adds a fault.
    pub(super) fn fault(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    /// Returns the value of a key; `null` counts as absent.
    pub(super) fn value(&mut self, key: &'static str) -> Option<&'a Value> {
        self.asked.insert(key);
        self.config.get(key).filter(|value| !value.is_null())
    }

    /// Ignores keys that do not change what the layer computes.
    pub(super) fn ignore(&mut self, keys: &[&'static str]) {
        self.asked.extend(keys);
    }

    /// Ignores all keys, for layers that no key changes.
    pub(super) fn ignore_everything(&mut self) {
        self.ignores_everything = true;
    }

    /// Returns whether the layer is refused whatever its config holds.
    pub(super) fn is_unsupported(&self) -> bool {
        self.ignores_everything && !self.problems.is_empty()
    }

    /// Adds a fault unless the key is absent, `null`, `false` or 0.
    pub(super) fn unset(&mut self, key: &'static str) {
        let Some(value) = self.value(key) else { return };
        if *value != Value::Bool(false) && value.as_f64() != Some(0.0) {
            self.fault(format!("`{key}` is {}, which is not supported", shown(value)));
        }
    }

    /// Returns whether the layer has the channels first. The shapes that the reader gives have them last.
    pub(super) fn is_channels_first(&self) -> bool {
        is_channels_first(self.config)
    }

    /// Checks `data_format`. [`is_channels_first`](Self::is_channels_first) tells its value.
    pub(super) fn data_format(&mut self) {
        if let Some(value) = self.value("data_format")
            && value != "channels_last"
            && value != CHANNELS_FIRST
        {
            self.fault(format!(
                "`data_format` is {}, expected \"channels_last\" or \"channels_first\"",
                shown(value)
            ));
        }
    }

    /// Returns a positive whole number.
    pub(super) fn size(&mut self, key: &'static str) -> usize {
        match self.value(key) {
            Some(value) => self.size_of(key, value),
            None => self.missing(key, 1),
        }
    }

    /// Returns a positive whole number, or the default.
    pub(super) fn size_or(&mut self, key: &'static str, default: usize) -> usize {
        self.value(key).map_or(default, |value| self.size_of(key, value))
    }

    /// Returns one positive whole number per spatial axis. The config may give one for all.
    pub(super) fn sizes<const AXES: usize>(&mut self, key: &'static str) -> [usize; AXES] {
        match self.value(key) {
            Some(value) => self.sizes_of(key, value),
            None => self.missing(key, [1; AXES]),
        }
    }

    /// Returns one positive whole number per spatial axis, or the default. The config may give one for all.
    pub(super) fn sizes_or<const AXES: usize>(
        &mut self,
        key: &'static str,
        default: [usize; AXES],
    ) -> [usize; AXES] {
        self.value(key).map_or(default, |value| self.sizes_of(key, value))
    }

    /// Returns two positive whole numbers, or the default. The config may give one for both.
    pub(super) fn pair_or(&mut self, key: &'static str, default: [usize; 2]) -> [usize; 2] {
        self.sizes_or(key, default)
    }

    /// Returns a whole number of either sign, or the default.
    pub(super) fn integer_or(&mut self, key: &'static str, default: i64) -> i64 {
        let Some(value) = self.value(key) else { return default };
        value.as_i64().unwrap_or_else(|| {
            self.fault(format!("`{key}` is {}, expected a whole number", shown(value)));
            default
        })
    }

    /// Returns whole numbers of either sign; a single one counts as a list.
    pub(super) fn integers(&mut self, key: &'static str) -> Option<Vec<i64>> {
        let value = self.value(key)?;
        let list = match value.as_array() {
            Some(list) => list.iter().map(Value::as_i64).collect(),
            None => value.as_i64().map(|one| vec![one]),
        };
        if list.is_none() {
            self.fault(format!("`{key}` is {}, expected whole numbers", shown(value)));
        }
        list
    }

    /// Returns true or false, or the default.
    pub(super) fn flag_or(&mut self, key: &'static str, default: bool) -> bool {
        let Some(value) = self.value(key) else { return default };
        value.as_bool().unwrap_or_else(|| {
            self.fault(format!("`{key}` is {}, expected true or false", shown(value)));
            default
        })
    }

    /// Returns a number, or the default.
    pub(super) fn number_or(&mut self, key: &'static str, default: f32) -> f32 {
        self.optional_number(key).unwrap_or(default)
    }

    /// Returns a number, if there is one.
    pub(super) fn optional_number(&mut self, key: &'static str) -> Option<f32> {
        let value = self.value(key)?;
        let number = number(value);
        if number.is_none() {
            self.fault(format!("`{key}` is {}, expected a number", shown(value)));
        }
        number
    }

    /// Returns numbers; a single one counts as a list.
    pub(super) fn numbers(&mut self, key: &'static str) -> Option<Vec<f32>> {
        let value = self.value(key)?;
        let list = match plain(value).as_array() {
            Some(list) => list.iter().map(number).collect(),
            None => number(value).map(|one| vec![one]),
        };
        if list.is_none() {
            self.fault(format!("`{key}` is {}, expected numbers", shown(value)));
        }
        list
    }

    /// Returns the shape of the first input, if known.
    pub(super) fn input(&self) -> Option<&'a Sizes> {
        self.inputs.first()?.as_ref()
    }

    /// Returns the shapes of all inputs, as far as known.
    pub(super) fn inputs(&self) -> &'a [Option<Sizes>] {
        self.inputs
    }

    /// Returns the number of channels of the first input, which the weights' shapes need.
    pub(super) fn channels(&mut self) -> Option<usize> {
        self.channels_of(0)
    }

    /// Returns the number of channels of an input, the size of its last axis.
    pub(super) fn channels_of(&mut self, index: usize) -> Option<usize> {
        let shape = self.inputs.get(index)?.as_ref()?;
        let last = shape.last().copied().flatten();
        if last.is_none() {
            self.fault(format!(
                "its input has shape {}, expected a fixed size of the last axis",
                describe(shape)
            ));
        }
        last
    }

    /// Notes that the weights are unknown, because the shape of the input is.
    pub(super) fn unsure(&mut self) {
        self.unsure = true;
    }

    /// Declares a weight that training changes by gradients.
    pub(super) fn weight(&mut self, names: &'static [&'static str], shape: &[Option<usize>]) -> Tensor {
        self.declare(names, shape, Role::Trainable)
    }

    /// Declares a statistic, which training updates without gradients.
    pub(super) fn statistic(&mut self, names: &'static [&'static str], shape: &[Option<usize>]) -> Tensor {
        self.declare(names, shape, Role::Statistic)
    }

    /// Declares a weight that inference does not need.
    pub(super) fn unneeded(&mut self, names: &'static [&'static str], shape: &[Option<usize>]) {
        self.declare(names, shape, Role::Unneeded);
    }

    fn declare(&mut self, names: &'static [&'static str], shape: &[Option<usize>], role: Role) -> Tensor {
        let declared = Declared {
            names,
            shape: shape.to_vec(),
            trainable: role == Role::Trainable,
            wanted: role != Role::Unneeded,
            owner: self.owner,
            location: Location::Within(self.folder.clone()),
        };
        let placeholder = || Tensor {
            shape: declared.shape.iter().map(|size| size.unwrap_or(0)).collect(),
            values: Arc::from([]),
        };
        let tensor = self.given.as_mut().and_then(|given| given.next().cloned()).unwrap_or_else(placeholder);
        self.declared.push(declared);
        tensor
    }

    fn check_dtype(&mut self) {
        let Some(value) = self.value("dtype") else { return };
        let class = value.get("class_name").and_then(Value::as_str);
        if class.is_some_and(|class| class.starts_with("Quantized")) {
            let mode =
                value.get("config").and_then(|config| config.get("mode")).map_or_else(String::new, shown);
            return self.fault(format!(
                "it is quantized ({mode}), which is not supported: save the model as it was before \
                 `model.quantize(…)`"
            ));
        }
        if let Err(problem) = check_dtype(value) {
            self.fault(problem);
        }
    }

    fn size_of(&mut self, key: &str, value: &Value) -> usize {
        size(value).unwrap_or_else(|| {
            self.fault(format!("`{key}` is {}, expected a positive whole number", shown(value)));
            1
        })
    }

    fn sizes_of<const AXES: usize>(&mut self, key: &str, value: &Value) -> [usize; AXES] {
        let sizes = match value.as_array() {
            Some(list) => list.iter().map(size).collect::<Option<Vec<usize>>>(),
            None => size(value).map(|all| vec![all; AXES]),
        };
        sizes.and_then(|sizes| sizes.try_into().ok()).unwrap_or_else(|| {
            let count = if AXES == 1 { "one positive whole number" } else { "two positive whole numbers" };
            self.fault(format!("`{key}` is {}, expected {count}", shown(value)));
            [1; AXES]
        })
    }

    fn missing<T>(&mut self, key: &str, instead: T) -> T {
        self.fault(format!("its config has no `{key}`"));
        instead
    }
}

/// Fails for a layer of a type that cannot be computed in float32.
fn check_dtype(value: &Value) -> Result<(), String> {
    let name = value.as_str().or_else(|| {
        let class = value.get("class_name")?.as_str()?;
        let known = ["DTypePolicy", "FloatDTypePolicy", "Policy", "PolicyV1"].contains(&class);
        value.get("config")?.get("name")?.as_str().filter(|_| known)
    });
    match name {
        // Weights are held and results computed in float32, at least as exact as the half types.
        Some(
            "float32" | "float16" | "bfloat16" | "float64" | "mixed_float16" | "mixed_bfloat16" | "_infer"
            | "infer",
        ) => Ok(()),
        Some(_) | None => Err(format!("`dtype` is {}, expected floats such as \"float32\"", shown(value))),
    }
}
