//! Adds operations to a TensorFlow graph. Only this module uses the graph builder of the crate `tensorflow`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tensorflow::{BFloat16, DataType, Graph, Operation, Output, Shape, Status, TensorType};

use super::graph::Target;
use super::library::{Convolutions, Library};
use super::session::Spread;
use super::winograd::Winograd;
use keras::Tensor;
use keras::layers::Edges;

pub(super) mod fused;
pub(super) mod winograd;

/// Most characters of a layer's name in the names of its operations.
const MAX_SCOPE: usize = 60;

/// How many values a uint8 has.
pub(super) const UINT8_VALUES: u64 = 256;

/// A matrix of this many elements, 16 MiB, or more is a variable.
const LARGE: usize = 4 << 20;

/// What is wrong with a layer. The graph adds the layer's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault(pub(super) String);

impl From<Status> for Fault {
    fn from(status: Status) -> Self {
        Self(format!("TensorFlow refuses it: {status}"))
    }
}

impl From<std::ffi::NulError> for Fault {
    fn from(_: std::ffi::NulError) -> Self {
        Self("its name holds a zero byte".to_owned())
    }
}

/// An attribute of an operation. TensorFlow infers attributes of types from the inputs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Attribute<'a> {
    Integers(&'a [i64]),
    Integer(i64),
    Float(f32),
    Bool(bool),
    Text(&'a str),
}

/// A variable that is assigned its value when the session is opened.
pub(super) struct Variable {
    /// The placeholder of the value.
    pub(super) feed: Output,
    /// The operation that assigns it.
    pub(super) assign: Operation,
    pub(super) value: Tensor,
    /// The type that it is stored in: float32 or bfloat16.
    pub(super) data_type: DataType,
    /// The runs that read it.
    pub(super) readers: Vec<Spread>,
    /// The operation that reads it.
    read: Output,
}

/// The input of a batch of uint8 pixel values. They are indices into a table of the float32 values that the model takes.
/// No value is computed, so that all are the same as on a CPU.
#[derive(Debug, Clone)]
pub(super) struct Uint8Input {
    /// uint8, `[batch, height, width, channels]`.
    pub(super) values: Output,
    /// float32, a value for each of the 256 pixel values.
    pub(super) table: Output,
}

/// A finished graph.
pub(super) struct Finished {
    pub(super) graph: Graph,
    pub(super) variables: Vec<Variable>,
    /// Takes the images in place of the model's float32 input.
    pub(super) uint8: Option<Uint8Input>,
}

/// A graph to which layers are added.
pub(super) struct Ops {
    graph: Graph,
    variables: Vec<Variable>,
    /// Weights that are constants, so that equal ones are added once.
    weights: Vec<(Tensor, Output)>,
    /// Zero-padded images by the name of their operation: the image itself, and its padding.
    padded: HashMap<String, (Output, Edges)>,
    /// How convolutions are computed.
    pub(super) convolutions: Convolutions,
    library: Library,
    /// The runs that use the operations added from here on.
    spread: Spread,
    /// Whether a convolution was added in Winograd tiles.
    tiled: bool,
    takes_uint8: bool,
    uint8: Option<Uint8Input>,
    /// Most values of an operation's output per image.
    most: usize,
    /// Rows of the batch per image in operations added from here on.
    rows: usize,
    scope: String,
    count: usize,
}

impl Ops {
    pub(super) fn new(target: Target<'_>, most: usize) -> Self {
        Self {
            library: target.library.clone(),
            spread: Spread::OneCore,
            tiled: false,
            takes_uint8: target.takes_uint8,
            uint8: None,
            graph: Graph::new(),
            variables: Vec::new(),
            weights: Vec::new(),
            padded: HashMap::new(),
            convolutions: target.convolutions,
            most,
            rows: 1,
            scope: String::new(),
            count: 0,
        }
    }

    /// Starts the operations of a node. TensorFlow's messages and profiles show its name.
    pub(super) fn begin(&mut self, index: usize, name: &str) {
        let readable: String = name
            .chars()
            .take(MAX_SCOPE)
            .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' })
            .collect();
        let spread = match self.spread {
            Spread::OneCore => "",
            Spread::AllCores => "shared_",
        };
        self.scope = format!("{spread}{index}_{readable}");
        self.count = 0;
    }

    /// Starts operations for runs over all cores, which are added without tiles. Returns whether they differ from those
    /// added before.
    pub(super) fn start_without_tiles(&mut self) -> bool {
        if self.tiled && self.library.cores > 1 {
            self.spread = Spread::AllCores;
            self.library.winograd = Winograd::Never;
            return true;
        }
        // All runs use the same operations.
        self.variables.iter_mut().for_each(|variable| variable.readers.push(Spread::AllCores));
        false
    }

    pub(super) fn finish(self) -> Finished {
        Finished { graph: self.graph, variables: self.variables, uint8: self.uint8 }
    }

    fn next_name(&mut self, kind: &str) -> String {
        self.count += 1;
        format!("{}/{kind}{}", self.scope, self.count)
    }

    /// Sets the rows of the batch per image, and returns the former number.
    pub(super) fn with_rows(&mut self, rows: usize) -> usize {
        std::mem::replace(&mut self.rows, rows)
    }

    /// The rows of the batch per image.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Adds an operation with one output.
    pub(super) fn op(
        &mut self,
        kind: &str,
        inputs: &[&Output],
        attributes: &[(&str, Attribute<'_>)],
    ) -> Result<Output, Fault> {
        let name = self.next_name(kind);
        let mut description = self.graph.new_operation(kind, &name)?;
        for input in inputs {
            description.add_input((*input).clone());
        }
        for (key, value) in attributes {
            match value {
                Attribute::Integers(list) => description.set_attr_int_list(key, list)?,
                Attribute::Integer(value) => description.set_attr_int(key, *value)?,
                Attribute::Float(value) => description.set_attr_float(key, *value)?,
                Attribute::Bool(value) => description.set_attr_bool(key, *value)?,
                Attribute::Text(text) => description.set_attr_string(key, text)?,
            }
        }
        let output = description.finish()?.into();
        self.check_size(kind, &output)?;
        Ok(output)
    }

    /// Refuses an output that would exhaust memory in a run.
    fn check_size(&self, kind: &str, output: &Output) -> Result<(), Fault> {
        // Where TensorFlow does not know the shape, the operations that need it fail.
        let Ok(sizes) = self.sizes(output) else { return Ok(()) };
        let values = sizes.into_iter().flatten().fold(self.rows, usize::saturating_mul);
        if values <= self.most {
            return Ok(());
        }
        let most = self.most;
        Err(Fault(format!("its {kind} gives {values} values for an image, expected at most {most}")))
    }

    /// Adds an operation with one input.
    pub(super) fn unary(&mut self, kind: &str, input: &Output) -> Result<Output, Fault> {
        self.op(kind, &[input], &[])
    }

    /// Adds an operation with two inputs.
    pub(super) fn binary(&mut self, kind: &str, left: &Output, right: &Output) -> Result<Output, Fault> {
        self.op(kind, &[left, right], &[])
    }

    /// Adds an operation with an input and a scalar.
    pub(super) fn with_scalar(&mut self, kind: &str, left: &Output, right: f32) -> Result<Output, Fault> {
        let right = self.constant(&[], &[right])?;
        self.binary(kind, left, &right)
    }

    /// Adds the model's input: a batch of any number of images of these sizes.
    pub(super) fn image(&mut self, sizes: &[Option<usize>]) -> Result<Output, Fault> {
        let batch = std::iter::once(None).chain(sizes.iter().map(|size| size.map(|n| n as i64))).collect();
        let batch = Shape::new(Some(batch));
        if !self.takes_uint8 {
            return self.placeholder(DataType::Float, &batch);
        }
        let values = self.placeholder(DataType::UInt8, &batch)?;
        let table = self.placeholder(DataType::Float, &Shape::new(Some(vec![Some(UINT8_VALUES as i64)])))?;
        let indices = self.cast(&values, DataType::Int32)?;
        let axis = self.integers(&[], &[0])?;
        let image = self.op("GatherV2", &[&table, &indices, &axis], &[])?;
        self.uint8 = Some(Uint8Input { values, table });
        Ok(image)
    }

    fn placeholder(&mut self, data_type: DataType, shape: &Shape) -> Result<Output, Fault> {
        let name = self.next_name("Placeholder");
        let mut description = self.graph.new_operation("Placeholder", &name)?;
        description.set_attr_type("dtype", data_type)?;
        description.set_attr_shape("shape", shape)?;
        Ok(description.finish()?.into())
    }

    /// Concatenates the inputs along an axis.
    pub(super) fn concatenate(&mut self, inputs: &[Output], axis: i32) -> Result<Output, Fault> {
        if let [only] = inputs {
            return Ok(only.clone());
        }
        let axis = self.integers(&[], &[axis])?;
        let name = self.next_name("ConcatV2");
        let mut description = self.graph.new_operation("ConcatV2", &name)?;
        description.add_input_list(inputs);
        description.add_input(axis);
        let output = description.finish()?.into();
        self.check_size("ConcatV2", &output)?;
        Ok(output)
    }

    /// The padding before and after each axis of a batch of images, as a constant.
    pub(super) fn sides(&mut self, edges: Edges) -> Result<Output, Fault> {
        let Edges { top, bottom, left, right } = edges;
        let sides = [0, 0, top, bottom, left, right, 0, 0];
        let sides = sides.into_iter().map(to_i32).collect::<Result<Vec<_>, _>>()?;
        self.integers(&[4, 2], &sides)
    }

    /// Pads an image with zeros.
    pub(super) fn pad(&mut self, input: &Output, edges: Edges) -> Result<Output, Fault> {
        let sides = self.sides(edges)?;
        let padded = self.binary("Pad", input, &sides)?;
        if let Ok(name) = padded.operation.name() {
            self.padded.insert(name, (input.clone(), edges));
        }
        Ok(padded)
    }

    /// Returns the image that [`pad`](Self::pad) padded, and its padding, for operations that pad by themselves.
    pub(super) fn within_zeros(&self, padded: &Output) -> Option<(Output, Edges)> {
        self.padded.get(&padded.operation.name().ok()?).cloned()
    }

    /// Adds a sum of products in Einstein notation.
    pub(super) fn einsum(&mut self, equation: &str, inputs: &[Output]) -> Result<Output, Fault> {
        let name = self.next_name("Einsum");
        let mut description = self.graph.new_operation("Einsum", &name)?;
        description.add_input_list(inputs);
        description.set_attr_string("equation", equation)?;
        let output = description.finish()?.into();
        self.check_size("Einsum", &output)?;
        Ok(output)
    }

    /// Removes axes of size 1. They are counted with the batch.
    pub(super) fn squeeze(&mut self, input: &Output, axes: &[i64]) -> Result<Output, Fault> {
        self.op("Squeeze", &[input], &[("squeeze_dims", Attribute::Integers(axes))])
    }

    /// Splits an image into equal groups of channels.
    pub(super) fn split_channels(&mut self, input: &Output, parts: usize) -> Result<Vec<Output>, Fault> {
        self.split(input, 3, parts)
    }

    /// Splits an axis, counted with the batch, into equal parts.
    pub(super) fn split(&mut self, input: &Output, axis: usize, parts: usize) -> Result<Vec<Output>, Fault> {
        let axis = self.integers(&[], &[to_i32(axis)?])?;
        let first = self.op("Split", &[&axis, input], &[("num_split", Attribute::Integer(parts as i64))])?;
        let part = |index| Ok(Output { operation: first.operation.clone(), index: to_i32(index)? });
        (0..parts).map(part).collect()
    }

    /// Adds weights as a constant, which TensorFlow can fold and fuse.
    pub(super) fn weights(&mut self, tensor: &Tensor) -> Result<Output, Fault> {
        let known = self.weights.iter().find(|(known, _)| same(known, tensor));
        if let Some((_, known)) = known {
            return Ok(known.clone());
        }
        let output = self.constant(&tensor.shape, &tensor.values)?;
        self.weights.push((tensor.clone(), output.clone()));
        Ok(output)
    }

    /// Adds the weights of a matrix product. TensorFlow keeps about five copies of a constant, and twelve while it optimizes
    /// a graph. It keeps one copy of a variable. A matrix product is as quick with a variable, unlike a convolution. So the
    /// matrices that make some networks large are variables.
    pub(super) fn matrix(&mut self, tensor: &Tensor) -> Result<Output, Fault> {
        if tensor.values.len() < LARGE {
            self.weights(tensor)
        } else {
            self.variable(tensor, DataType::Float)
        }
    }

    /// Casts the values to another type.
    pub(super) fn cast(&mut self, input: &Output, to: DataType) -> Result<Output, Fault> {
        if type_of(input) == to {
            return Ok(input.clone());
        }
        let name = self.next_name("Cast");
        let mut description = self.graph.new_operation("Cast", &name)?;
        description.add_input(input.clone());
        description.set_attr_type("DstT", to)?;
        Ok(description.finish()?.into())
    }

    /// Adds weights as a variable, which is assigned before the first run.
    fn variable(&mut self, tensor: &Tensor, data_type: DataType) -> Result<Output, Fault> {
        let spread = self.spread;
        if let Some(known) =
            self.variables.iter_mut().find(|known| same(&known.value, tensor) && known.data_type == data_type)
        {
            if !known.readers.contains(&spread) {
                known.readers.push(spread);
            }
            return Ok(known.read.clone());
        }
        let shape = Shape::new(Some(tensor.shape.iter().map(|size| Some(*size as i64)).collect()));
        // Two sessions that share a device's memory would share variables of the same name.
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let unique = format!("weights{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let name = self.next_name("VarHandleOp");
        let mut handle = self.graph.new_operation("VarHandleOp", &name)?;
        handle.set_attr_type("dtype", data_type)?;
        handle.set_attr_shape("shape", &shape)?;
        handle.set_attr_string("shared_name", &unique)?;
        let handle: Output = handle.finish()?.into();

        let feed = self.placeholder(data_type, &shape)?;

        let name = self.next_name("AssignVariableOp");
        let mut assign = self.graph.new_operation("AssignVariableOp", &name)?;
        assign.add_input(handle.clone());
        assign.add_input(feed.clone());
        let assign = assign.finish()?;
        let name = self.next_name("ReadVariableOp");
        let mut read = self.graph.new_operation("ReadVariableOp", &name)?;
        read.add_input(handle);
        read.set_attr_type("dtype", data_type)?;
        let read: Output = read.finish()?.into();
        let (value, readers) = (tensor.clone(), vec![spread]);
        self.variables.push(Variable { feed, assign, value, data_type, readers, read: read.clone() });
        Ok(read)
    }

    /// Adds a float32 constant.
    pub(super) fn constant(&mut self, shape: &[usize], values: &[f32]) -> Result<Output, Fault> {
        self.typed_constant(shape, values)
    }

    /// Adds an int32 constant.
    pub(super) fn integers(&mut self, shape: &[usize], values: &[i32]) -> Result<Output, Fault> {
        self.typed_constant(shape, values)
    }

    fn typed_constant<T: TensorType + Copy>(
        &mut self,
        shape: &[usize],
        values: &[T],
    ) -> Result<Output, Fault> {
        let elements: usize = shape.iter().product();
        // The crate takes the address of the first value, even of an empty tensor.
        if elements == 0 {
            return Err(Fault(format!("a weight of shape {shape:?} is empty")));
        }
        if elements != values.len() {
            return Err(Fault(format!("a weight of shape {shape:?} has {} values", values.len())));
        }
        let tensor = native(shape, values);
        let name = self.next_name("Const");
        let mut description = self.graph.new_operation("Const", &name)?;
        description.set_attr_type("dtype", T::data_type())?;
        description.set_attr_tensor("value", tensor)?;
        Ok(description.finish()?.into())
    }

    /// Returns the sizes that TensorFlow infers, the batch first; `None` for a size that is unknown before a run.
    pub(super) fn sizes(&self, output: &Output) -> Result<Vec<Option<usize>>, Fault> {
        let shape: Option<Vec<Option<i64>>> = self.graph.tensor_shape(output.clone())?.into();
        let shape = shape.ok_or_else(|| Fault("its input has an unknown number of axes".to_owned()))?;
        Ok(shape.into_iter().map(|size| size.and_then(|n| usize::try_from(n).ok())).collect())
    }

    /// Returns the axis counted from the front. A negative axis counts from the back.
    pub(super) fn axis(&self, output: &Output, axis: i64) -> Result<usize, Fault> {
        let rank = self.sizes(output)?.len();
        let from_front = if axis < 0 { axis + rank as i64 } else { axis };
        usize::try_from(from_front)
            .ok()
            .filter(|axis| *axis < rank)
            .ok_or_else(|| Fault(format!("axis {axis} does not exist, its input has {rank} axes")))
    }

    /// Adds the sizes `from..to` of an output as a vector, for shapes that are known only in a run.
    pub(super) fn dynamic_sizes(&mut self, output: &Output, from: i32, to: i32) -> Result<Output, Fault> {
        let all = self.unary("Shape", output)?;
        let from = self.integers(&[1], &[from])?;
        let to = self.integers(&[1], &[to])?;
        let step = self.integers(&[1], &[1])?;
        self.op("StridedSlice", &[&all, &from, &to, &step], &[])
    }

    /// Reshapes `input` to `target`, in which at most one size is -1. The batch comes before `target` and stays.
    pub(super) fn reshape(&mut self, input: &Output, target: &[i32]) -> Result<Output, Fault> {
        let shape = if target.contains(&-1) {
            let batch = self.dynamic_sizes(input, 0, 1)?;
            let rest = self.integers(&[target.len()], target)?;
            self.concatenate(&[batch, rest], 0)?
        } else {
            let whole: Vec<i32> = std::iter::once(-1).chain(target.iter().copied()).collect();
            self.integers(&[whole.len()], &whole)?
        };
        self.binary("Reshape", input, &shape)
    }
}

/// Copies the values into a tensor of TensorFlow.
pub(super) fn native<T: TensorType + Copy>(shape: &[usize], values: &[T]) -> tensorflow::Tensor<T> {
    let dims: Vec<u64> = shape.iter().map(|size| *size as u64).collect();
    let mut tensor = tensorflow::Tensor::<T>::new(&dims);
    tensor.copy_from_slice(values);
    tensor
}

/// Returns whether both share the same values in memory.
fn same(one: &Tensor, other: &Tensor) -> bool {
    Arc::ptr_eq(&one.values, &other.values) && one.shape == other.shape
}

/// Rounds the values to bfloat16.
pub(super) fn rounded(values: &[f32]) -> Vec<BFloat16> {
    // The crate's own conversion truncates.
    values.iter().map(|value| BFloat16::from(half::bf16::from_f32(*value).to_f32())).collect()
}

/// The type of an output.
pub(super) fn type_of(output: &Output) -> DataType {
    output.operation.output_type(usize::try_from(output.index).unwrap_or(0))
}

/// Converts a size to TensorFlow's type.
pub(super) fn to_i32(size: usize) -> Result<i32, Fault> {
    i32::try_from(size).map_err(|_| Fault(format!("the size {size} is too large")))
}
