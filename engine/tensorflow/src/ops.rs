//! Adds operations to a TensorFlow graph: the only place that speaks the crate's builder.

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

/// Longest part of a layer's name that is kept in the names of its operations.
const MAX_SCOPE: usize = 60;

/// How many values a uint8 has.
pub(super) const UINT8_VALUES: u64 = 256;

/// Elements from which a matrix is a variable: 16 MiB.
const LARGE: usize = 4 << 20;

/// What is wrong with a layer, without the layer's name: that is put before it by the graph.
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

/// An attribute of an operation. Types are derived from the inputs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Attribute<'a> {
    Integers(&'a [i64]),
    Integer(i64),
    Float(f32),
    Bool(bool),
    Text(&'a str),
}

/// A variable that gets its value when the session begins.
pub(super) struct Variable {
    /// Takes the value.
    pub(super) feed: Output,
    /// Stores it.
    pub(super) assign: Operation,
    pub(super) value: Tensor,
    /// In which type it is stored: float32, or bfloat16.
    pub(super) data_type: DataType,
    /// Which runs read it.
    pub(super) readers: Vec<Spread>,
    /// What gives it to them.
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

/// A graph that grows, one layer after the other.
pub(super) struct Ops {
    graph: Graph,
    variables: Vec<Variable>,
    /// That are constants.
    weights: Vec<(Tensor, Output)>,
    /// By name, what has zeros around an image: the image, and how many.
    padded: HashMap<String, (Output, Edges)>,
    /// Which operations convolve.
    pub(super) convolutions: Convolutions,
    library: Library,
    /// Which runs the operations from here on are for.
    spread: Spread,
    /// Whether a convolution was added in tiles.
    tiled: bool,
    takes_uint8: bool,
    uint8: Option<Uint8Input>,
    /// Most values that an operation may give for one image.
    most: usize,
    /// How many rows of the batch an image has in operations from here on.
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

    /// Operations from here on belong to this node. TensorFlow's messages and profiles show the name.
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

    /// Has what is added from here on computed without tiles, for runs over all cores. Says whether that makes a
    /// difference.
    pub(super) fn go_on_without_tiles(&mut self) -> bool {
        if self.tiled && self.library.cores > 1 {
            self.spread = Spread::AllCores;
            self.library.winograd = Winograd::Never;
            return true;
        }
        // Then all runs are the same.
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

    /// Says how many rows of the batch an image has in operations from here on, and gives how many it had.
    pub(super) fn with_rows(&mut self, rows: usize) -> usize {
        std::mem::replace(&mut self.rows, rows)
    }

    /// How many rows of the batch an image has.
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

    /// Refuses what would take all memory when it is run.
    fn check_size(&self, kind: &str, output: &Output) -> Result<(), Fault> {
        // Of a shape that TensorFlow does not know, the operations that need it say so.
        let Ok(sizes) = self.sizes(output) else { return Ok(()) };
        let values = sizes.into_iter().flatten().fold(self.rows, usize::saturating_mul);
        if values <= self.most {
            return Ok(());
        }
        let most = self.most;
        Err(Fault(format!("its {kind} gives {values} values for an image, expected at most {most}")))
    }

    /// Adds an operation over one input.
    pub(super) fn unary(&mut self, kind: &str, input: &Output) -> Result<Output, Fault> {
        self.op(kind, &[input], &[])
    }

    /// Adds an operation over two inputs.
    pub(super) fn binary(&mut self, kind: &str, left: &Output, right: &Output) -> Result<Output, Fault> {
        self.op(kind, &[left, right], &[])
    }

    /// Adds an operation over an input and a number.
    pub(super) fn with_scalar(&mut self, kind: &str, left: &Output, right: f32) -> Result<Output, Fault> {
        let right = self.constant(&[], &[right])?;
        self.binary(kind, left, &right)
    }

    /// The model's input: a batch, of whatever number, of float32 values with these sizes.
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

    /// Puts several inputs one after the other along an axis.
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

    /// How many values go before and behind each axis of a batch of images.
    pub(super) fn sides(&mut self, edges: Edges) -> Result<Output, Fault> {
        let Edges { top, bottom, left, right } = edges;
        let sides = [0, 0, top, bottom, left, right, 0, 0];
        let sides = sides.into_iter().map(to_i32).collect::<Result<Vec<_>, _>>()?;
        self.integers(&[4, 2], &sides)
    }

    /// Puts zeros around an image.
    pub(super) fn pad(&mut self, input: &Output, edges: Edges) -> Result<Output, Fault> {
        let sides = self.sides(edges)?;
        let padded = self.binary("Pad", input, &sides)?;
        if let Ok(name) = padded.operation.name() {
            self.padded.insert(name, (input.clone(), edges));
        }
        Ok(padded)
    }

    /// The image within the zeros that [`pad`](Self::pad) put around it, for operations that can do without them.
    pub(super) fn within_zeros(&self, padded: &Output) -> Option<(Output, Edges)> {
        self.padded.get(&padded.operation.name().ok()?).cloned()
    }

    /// A sum of products by Einstein's convention.
    pub(super) fn einsum(&mut self, equation: &str, inputs: &[Output]) -> Result<Output, Fault> {
        let name = self.next_name("Einsum");
        let mut description = self.graph.new_operation("Einsum", &name)?;
        description.add_input_list(inputs);
        description.set_attr_string("equation", equation)?;
        let output = description.finish()?.into();
        self.check_size("Einsum", &output)?;
        Ok(output)
    }

    /// Takes away axes of size 1, which are counted with the batch.
    pub(super) fn squeeze(&mut self, input: &Output, axes: &[i64]) -> Result<Output, Fault> {
        self.op("Squeeze", &[input], &[("squeeze_dims", Attribute::Integers(axes))])
    }

    /// Cuts an image into equal parts of its channels.
    pub(super) fn split_channels(&mut self, input: &Output, parts: usize) -> Result<Vec<Output>, Fault> {
        self.split(input, 3, parts)
    }

    /// Cuts an axis, which is counted with the batch, into equal parts.
    pub(super) fn split(&mut self, input: &Output, axis: usize, parts: usize) -> Result<Vec<Output>, Fault> {
        let axis = self.integers(&[], &[to_i32(axis)?])?;
        let first = self.op("Split", &[&axis, input], &[("num_split", Attribute::Integer(parts as i64))])?;
        let part = |index| Ok(Output { operation: first.operation.clone(), index: to_i32(index)? });
        (0..parts).map(part).collect()
    }

    /// Weights as a constant, which lets TensorFlow fold and fuse them.
    pub(super) fn weights(&mut self, tensor: &Tensor) -> Result<Output, Fault> {
        let known = self.weights.iter().find(|(known, _)| same(known, tensor));
        if let Some((_, known)) = known {
            return Ok(known.clone());
        }
        let output = self.constant(&tensor.shape, &tensor.values)?;
        self.weights.push((tensor.clone(), output.clone()));
        Ok(output)
    }

    /// The weights of a matrix product. TensorFlow keeps about five copies of a constant, and twelve for a
    /// moment while it optimizes a graph; of a variable it keeps one. A matrix product loses nothing by
    /// it, unlike a convolution, so the matrices that make some networks large are variables.
    pub(super) fn matrix(&mut self, tensor: &Tensor) -> Result<Output, Fault> {
        if tensor.values.len() < LARGE {
            self.weights(tensor)
        } else {
            self.variable(tensor, DataType::Float)
        }
    }

    /// The values in another type.
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

    /// Weights that the session is given before its first run.
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
        // Variables of the same name would be one, should two sessions ever share a device's memory.
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

    /// A float32 constant.
    pub(super) fn constant(&mut self, shape: &[usize], values: &[f32]) -> Result<Output, Fault> {
        self.typed_constant(shape, values)
    }

    /// An int32 constant.
    pub(super) fn integers(&mut self, shape: &[usize], values: &[i32]) -> Result<Output, Fault> {
        self.typed_constant(shape, values)
    }

    fn typed_constant<T: TensorType + Copy>(
        &mut self,
        shape: &[usize],
        values: &[T],
    ) -> Result<Output, Fault> {
        let elements: usize = shape.iter().product();
        // The crate takes the address of the first value, also where there is none.
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

    /// Sizes as TensorFlow infers them, the batch first; `None` where a size is not known before a run.
    pub(super) fn sizes(&self, output: &Output) -> Result<Vec<Option<usize>>, Fault> {
        let shape: Option<Vec<Option<i64>>> = self.graph.tensor_shape(output.clone())?.into();
        let shape = shape.ok_or_else(|| Fault("its input has an unknown number of axes".to_owned()))?;
        Ok(shape.into_iter().map(|size| size.and_then(|n| usize::try_from(n).ok())).collect())
    }

    /// The axis counted from the front; it may be given from the back.
    pub(super) fn axis(&self, output: &Output, axis: i64) -> Result<usize, Fault> {
        let rank = self.sizes(output)?.len();
        let from_front = if axis < 0 { axis + rank as i64 } else { axis };
        usize::try_from(from_front)
            .ok()
            .filter(|axis| *axis < rank)
            .ok_or_else(|| Fault(format!("axis {axis} does not exist, its input has {rank} axes")))
    }

    /// The sizes of a run, as a vector: for shapes that are known only then.
    pub(super) fn running_sizes(&mut self, output: &Output, from: i32, to: i32) -> Result<Output, Fault> {
        let all = self.unary("Shape", output)?;
        let from = self.integers(&[1], &[from])?;
        let to = self.integers(&[1], &[to])?;
        let step = self.integers(&[1], &[1])?;
        self.op("StridedSlice", &[&all, &from, &to, &step], &[])
    }

    /// Gives `input` another shape; at most one size is -1. The batch, which goes before `target`, stays.
    pub(super) fn reshape(&mut self, input: &Output, target: &[i32]) -> Result<Output, Fault> {
        let shape = if target.contains(&-1) {
            let batch = self.running_sizes(input, 0, 1)?;
            let rest = self.integers(&[target.len()], target)?;
            self.concatenate(&[batch, rest], 0)?
        } else {
            let whole: Vec<i32> = std::iter::once(-1).chain(target.iter().copied()).collect();
            self.integers(&[whole.len()], &whole)?
        };
        self.binary("Reshape", input, &shape)
    }
}

/// The values in memory of TensorFlow's.
pub(super) fn native<T: TensorType + Copy>(shape: &[usize], values: &[T]) -> tensorflow::Tensor<T> {
    let dims: Vec<u64> = shape.iter().map(|size| *size as u64).collect();
    let mut tensor = tensorflow::Tensor::<T>::new(&dims);
    tensor.copy_from_slice(values);
    tensor
}

/// Whether both are the very same values, not only equal ones.
fn same(one: &Tensor, other: &Tensor) -> bool {
    Arc::ptr_eq(&one.values, &other.values) && one.shape == other.shape
}

/// The nearest numbers that bfloat16 has.
pub(super) fn rounded(values: &[f32]) -> Vec<BFloat16> {
    // The crate's own conversion cuts off.
    values.iter().map(|value| BFloat16::from(half::bf16::from_f32(*value).to_f32())).collect()
}

/// What kind of numbers an operation gives.
pub(super) fn type_of(output: &Output) -> DataType {
    output.operation.output_type(usize::try_from(output.index).unwrap_or(0))
}

/// A size as TensorFlow's shapes have it.
pub(super) fn to_i32(size: usize) -> Result<i32, Fault> {
    i32::try_from(size).map_err(|_| Fault(format!("the size {size} is too large")))
}
