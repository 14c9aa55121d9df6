//! Adds operations to a TensorFlow graph. Only this module uses the graph builder of the crate `tensorflow`.

use tensorflow::{BFloat16, DataType, Graph, Output, Shape, Status, TensorType};

use super::library::{Convolutions, Library};
use super::spread::Spread;
use super::target::Target;
use super::winograd::Winograd;
use model::Tensor;

pub(super) mod fused;
pub(super) mod tiles;
mod weights;

pub(super) use self::weights::Variable;

/// Most characters of a layer's name in the names of its operations.
const MAX_SCOPE: usize = 60;

/// How many values a uint8 has.
pub(super) const UINT8_VALUES: u64 = 256;

/// What is wrong with a primitive. The graph adds the layer's name.
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

/// A graph to which operations are added.
pub(super) struct Ops {
    graph: Graph,
    variables: Vec<Variable>,
    /// Weights that are constants, so that equal ones are added once.
    weights: Vec<(Tensor, Output)>,
    /// How convolutions are computed.
    pub(super) convolutions: Convolutions,
    pub(super) library: Library,
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
            convolutions: target.convolutions,
            most,
            rows: 1,
            scope: String::new(),
            count: 0,
        }
    }

    /// Starts the operations of a value, with so many rows of the batch per image. TensorFlow's messages and profiles show
    /// the layer's name.
    pub(super) fn begin(&mut self, index: usize, layer: &str, rows: usize) {
        let readable: String = layer
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
        self.rows = rows;
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
    pub(super) fn image(&mut self, sizes: [usize; 3]) -> Result<Output, Fault> {
        let batch = std::iter::once(None).chain(sizes.map(|size| Some(size as i64))).collect();
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
    pub(super) fn concatenate(&mut self, inputs: &[Output], axis: usize) -> Result<Output, Fault> {
        if let [only] = inputs {
            return Ok(only.clone());
        }
        let axis = self.axis(axis)?;
        let name = self.next_name("ConcatV2");
        let mut description = self.graph.new_operation("ConcatV2", &name)?;
        description.add_input_list(inputs);
        description.add_input(axis);
        let output = description.finish()?.into();
        self.check_size("ConcatV2", &output)?;
        Ok(output)
    }

    /// Adds so many elements before and after each axis: zeros, or this number.
    pub(super) fn pad(&mut self, input: &Output, edges: &[[usize; 2]], value: f32) -> Result<Output, Fault> {
        let sides = self.index_matrix([edges.len(), 2], edges.as_flattened())?;
        if value == 0.0 {
            return self.binary("Pad", input, &sides);
        }
        let value = self.constant(&[], &[value])?;
        self.op("PadV2", &[input, &sides, &value], &[])
    }

    /// Adds so many elements before and after each axis, mirrored in TensorFlow's mode.
    pub(super) fn mirror_pad(
        &mut self,
        input: &Output,
        edges: &[[usize; 2]],
        mode: &str,
    ) -> Result<Output, Fault> {
        let sides = self.index_matrix([edges.len(), 2], edges.as_flattened())?;
        self.op("MirrorPad", &[input, &sides], &[("mode", Attribute::Text(mode))])
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

    /// Splits an axis into equal parts.
    pub(super) fn split(&mut self, input: &Output, axis: usize, parts: usize) -> Result<Vec<Output>, Fault> {
        let axis = self.axis(axis)?;
        let first = self.op("Split", &[&axis, input], &[("num_split", Attribute::Integer(parts as i64))])?;
        let part = |index| Ok(Output { operation: first.operation.clone(), index: to_i32(index)? });
        (0..parts).map(part).collect()
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

    /// Adds the size of the batch in a run, as a vector of one.
    pub(super) fn batch_of(&mut self, output: &Output) -> Result<Output, Fault> {
        let all = self.unary("Shape", output)?;
        let [from, to, step] = [0, 1, 1].map(|number| self.integers(&[1], &[number]));
        self.op("StridedSlice", &[&all, &from?, &to?, &step?], &[])
    }

    /// Adds the same elements in another shape. One size may be `None`: that of the batch, or what is left.
    pub(super) fn reshape(&mut self, input: &Output, sizes: &[Option<usize>]) -> Result<Output, Fault> {
        let sizes = self.sizes_constant(sizes)?;
        self.binary("Reshape", input, &sizes)
    }

    /// Adds the axes of an input in another order.
    pub(super) fn transpose(&mut self, input: &Output, order: &[usize]) -> Result<Output, Fault> {
        let order = self.axes(order)?;
        self.binary("Transpose", input, &order)
    }

    /// Adds axes, sizes or indices as a constant.
    pub(super) fn axes(&mut self, axes: &[usize]) -> Result<Output, Fault> {
        let axes = axes.iter().copied().map(to_i32).collect::<Result<Vec<_>, _>>()?;
        self.integers(&[axes.len()], &axes)
    }

    /// Adds indices as a constant of two axes.
    pub(super) fn index_matrix(&mut self, sizes: [usize; 2], indices: &[usize]) -> Result<Output, Fault> {
        let indices = indices.iter().copied().map(to_i32).collect::<Result<Vec<_>, _>>()?;
        self.integers(&sizes, &indices)
    }

    /// Adds one axis as a constant without axes.
    pub(super) fn axis(&mut self, axis: usize) -> Result<Output, Fault> {
        self.integers(&[], &[to_i32(axis)?])
    }

    /// Adds sizes as a constant, with -1 for `None`.
    fn sizes_constant(&mut self, sizes: &[Option<usize>]) -> Result<Output, Fault> {
        let sizes = sizes.iter().map(|size| size.map_or(Ok(-1), to_i32)).collect::<Result<Vec<i32>, _>>()?;
        self.integers(&[sizes.len()], &sizes)
    }
}

/// Copies the values into a tensor of TensorFlow.
pub(super) fn native<T: TensorType + Copy>(shape: &[usize], values: &[T]) -> tensorflow::Tensor<T> {
    let dims: Vec<u64> = shape.iter().map(|size| *size as u64).collect();
    let mut tensor = tensorflow::Tensor::<T>::new(&dims);
    tensor.copy_from_slice(values);
    tensor
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
