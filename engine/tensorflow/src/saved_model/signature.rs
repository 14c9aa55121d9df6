//! Signatures: the inputs and outputs of a SavedModel, checked against a package's config.

use std::fmt;

use common::package::ModelConfig;

use super::super::protobuf::{Malformed, Parts};
use engine::outputs::{self, show, show_batched};

/// The name of the signature that serves where there are several.
const DEFAULT: &str = "serving_default";

/// Most inputs or outputs, and most axes of one.
const MAX_ENTRIES: usize = 1000;

/// A way to call a SavedModel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Its name.
    pub name: String,
    /// Its inputs, by name.
    pub inputs: Vec<TensorInfo>,
    /// Its outputs, by name.
    pub outputs: Vec<TensorInfo>,
}

/// An input or output of a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name in the signature.
    pub name: String,
    /// The type of its values.
    pub element: Element,
    /// Sizes, the batch first, `None` for an unknown size; `None` for an unknown rank.
    pub shape: Option<Vec<Option<usize>>>,
    /// The operation of the graph, and the index of its output.
    pub(super) tensor: (String, usize),
}

/// The type of a tensor's values: its number in `types.proto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element(u64);

/// The names of the types, by number.
const ELEMENTS: [&str; 24] = [
    "nothing",
    "float32",
    "float64",
    "int32",
    "uint8",
    "int16",
    "int8",
    "string",
    "complex64",
    "int64",
    "bool",
    "qint8",
    "quint8",
    "qint32",
    "bfloat16",
    "qint16",
    "quint16",
    "uint16",
    "complex128",
    "float16",
    "resource",
    "variant",
    "uint32",
    "uint64",
];

impl Element {
    const FLOAT32: Self = Self(1);
    /// Types that are cast to float32: float32, float64, bfloat16, float16.
    const FLOATS: [Self; 4] = [Self::FLOAT32, Self(2), Self(14), Self(19)];
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match usize::try_from(self.0).ok().and_then(|number| ELEMENTS.get(number)) {
            Some(name) => f.write_str(name),
            None => write!(f, "number {}", self.0),
        }
    }
}

impl fmt::Display for TensorInfo {
    /// Formats shapes as Keras does: `image: float32 (None, 32, 32, 3)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ", self.name, self.element)?;
        let Some(shape) = &self.shape else { return f.write_str("of any shape") };
        let size = |size: &Option<usize>| size.map_or_else(|| "None".to_owned(), |size| size.to_string());
        write!(f, "({})", shape.iter().map(size).collect::<Vec<_>>().join(", "))
    }
}

impl Signature {
    /// Reads a `SignatureDef`.
    pub(super) fn read(name: &str, message: &Parts<'_>) -> Result<Self, Malformed> {
        let tensors = |field: u64| -> Result<Vec<TensorInfo>, Malformed> {
            let mut found: Vec<TensorInfo> = Vec::new();
            for entry in message.repeated(field) {
                let (name, tensor) = Parts::of(entry?).entry()?;
                // The last of several entries of a name counts.
                found.retain(|before| before.name != name);
                found.push(TensorInfo::read(name, &tensor)?);
                if found.len() > MAX_ENTRIES {
                    return Err(Malformed);
                }
            }
            // The order of a map in a file is undefined.
            found.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(found)
        };
        Ok(Self { name: name.to_owned(), inputs: tensors(1)?, outputs: tensors(2)? })
    }

    /// Chooses the signature that serves: [`DEFAULT`], or the only one.
    ///
    /// # Errors
    /// There are none, or several without that name.
    pub(super) fn choose(mut signatures: Vec<Self>) -> Result<Self, String> {
        if let Some(index) = signatures.iter().position(|signature| signature.name == DEFAULT) {
            return Ok(signatures.swap_remove(index));
        }
        if signatures.len() == 1 {
            return Ok(signatures.swap_remove(0));
        }
        let mut names: Vec<&str> = signatures.iter().map(|signature| signature.name.as_str()).collect();
        names.sort_unstable();
        let found = if names.is_empty() { "none".to_owned() } else { format!("`{}`", names.join("`, `")) };
        Err(format!("the SavedModel has the signatures {found}, expected `{DEFAULT}` or only one"))
    }

    /// Returns the input for the images.
    ///
    /// # Errors
    /// Everything about it that does not fit the config.
    pub(super) fn input(&self, config: &ModelConfig) -> Result<&TensorInfo, Vec<String>> {
        let [input] = &self.inputs[..] else {
            let names: Vec<&str> = self.inputs.iter().map(|input| input.name.as_str()).collect();
            return Err(vec![format!(
                "the model has {} inputs (`{}`), expected one image",
                names.len(),
                names.join("`, `")
            )]);
        };
        let mut problems = Vec::new();
        let TensorInfo { name, element, shape, .. } = input;
        if *element != Element::FLOAT32 {
            problems.push(format!(
                "the model's input `{name}` has type {element}, expected float32: export the model with a cast \
                 in it"
            ));
        }
        let image = config.preprocessing.input_shape;
        match shape.as_deref() {
            None => {}
            Some([batch, rest @ ..]) if rest.len() == image.len() => {
                if let Some(batch) = batch {
                    problems.push(format!(
                        "the model's input `{name}` takes batches of {batch}, expected any number of images"
                    ));
                }
                if !rest.iter().zip(image).all(|(size, given)| size.is_none_or(|size| size == given)) {
                    problems.push(format!(
                        "`image_preproc_config.input_shape` is {image:?}, but the model's input `{name}` has \
                         shape {}",
                        show(rest)
                    ));
                }
            }
            Some(shape) => problems.push(format!(
                "the model's input `{name}` has shape {}, expected [batch, {}, {}, {}]",
                show_batched(shape),
                image[0],
                image[1],
                image[2]
            )),
        }
        if problems.is_empty() { Ok(input) } else { Err(problems) }
    }

    /// Returns the output with the scores.
    ///
    /// # Errors
    /// Everything about it that does not fit the config.
    pub(super) fn output(&self, config: &ModelConfig) -> Result<&TensorInfo, Vec<String>> {
        let names: Vec<&str> = self.outputs.iter().map(|output| output.name.as_str()).collect();
        let index = outputs::choose(&names, config.postprocessing.output_name.as_deref());
        let output = &self.outputs[index.map_err(|problem| vec![problem])?];
        let mut problems = Vec::new();
        if !Element::FLOATS.contains(&output.element) {
            problems.push(format!(
                "the model's output `{}` has type {}, expected float32",
                output.name, output.element
            ));
        }
        let labels = config.postprocessing.outputs();
        let shape = output.shape.as_deref();
        // An unknown size is known after the warm-up.
        let shape = shape.filter(|shape| !matches!(shape, [_, None]));
        problems.extend(shape.and_then(|shape| outputs::misfit(&output.name, shape, labels)));
        if problems.is_empty() { Ok(output) } else { Err(problems) }
    }
}

impl TensorInfo {
    /// Reads a `TensorInfo`. A sparse or composite one has no tensor name, and type 0.
    fn read(name: &str, message: &Parts<'_>) -> Result<Self, Malformed> {
        let mut element = Element(0);
        let mut has_shape = false;
        for field in message.fields() {
            match field? {
                (2, kind) => element = Element(kind.integer()?),
                (3, _) => has_shape = true,
                _ => {}
            }
        }
        let shape = if has_shape { read_shape(&message.message(3)?)? } else { None };
        let tensor = message.text(1)?.map(parse_tensor).unwrap_or_default();
        Ok(Self { name: name.to_owned(), element, shape, tensor })
    }
}

/// Reads a `TensorShapeProto`.
fn read_shape(message: &Parts<'_>) -> Result<Option<Vec<Option<usize>>>, Malformed> {
    let mut sizes = Vec::new();
    let mut open = false;
    for field in message.fields() {
        match field? {
            (2, axis) => {
                let mut size = 0;
                for field in Parts::of(axis.bytes()?).fields() {
                    if let (1, value) = field? {
                        size = value.integer()?;
                    }
                }
                // Open sizes are -1.
                sizes.push(usize::try_from(size.cast_signed()).ok());
            }
            (3, value) => open = value.integer()? != 0,
            _ => {}
        }
        if sizes.len() > MAX_ENTRIES {
            return Err(Malformed);
        }
    }
    Ok((!open).then_some(sizes))
}

/// Splits a tensor's name, `dense/Softmax:0`, into the operation and the index of its output.
pub(super) fn parse_tensor(name: &str) -> (String, usize) {
    let split = name.rsplit_once(':').and_then(|(name, index)| Some((name, index.parse().ok()?)));
    let (name, index) = split.unwrap_or((name, 0));
    (name.to_owned(), index)
}
