//! Convolution, bias and ReLU as one fused operation, which TensorFlow's optimizer makes of the three.
//!
//! These operations are internal to TensorFlow. They have no documentation, and a build without oneDNN has no kernels for
//! them. Their advantage: the kernel of the convolution may be a variable that is marked constant. oneDNN then reorders it
//! for the processor once. TensorFlow keeps about five copies of a constant, and one of a variable. Whether the operations
//! exist and compute the right values is tried when the library is opened.

use tensorflow::{DataType, Output};

use super::{Attribute, Fault, Ops, rounded};
use crate::library::Convolutions;
use model::Tensor;

/// A kernel of this many elements, 64 KiB, or more is a variable. Reading a variable takes an operation in every run.
const WORTH_A_VARIABLE: usize = 16 << 10;

/// A fused convolution.
pub(crate) struct Fused<'a> {
    pub(crate) kind: Kind,
    pub(crate) kernel: &'a Tensor,
    /// One value per output channel.
    pub(crate) bias: &'a [f32],
    /// What is added to the result, of the same shape.
    pub(crate) addend: Option<&'a Output>,
    /// TensorFlow's names of the operations that follow the convolution: `BiasAdd`, `Add` where there is an addend, then
    /// `Relu` or `Relu6`.
    pub(crate) fused_ops: &'a [&'a str],
    pub(crate) strides: [i64; 4],
    pub(crate) padding: PaddingAttribute,
}

/// The padding that the operation itself does, without a padded copy of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PaddingAttribute {
    /// `SAME` or `VALID`.
    Named(&'static str),
    /// So many zeros before and after height and width, which only [`Kind::Full`] supports.
    Explicit([[usize; 2]; 2]),
}

impl PaddingAttribute {
    /// The attribute `padding`, and `explicit_paddings` where it is `EXPLICIT`.
    pub(crate) fn attributes(self) -> (&'static str, Option<[i64; 8]>) {
        match self {
            Self::Named(word) => (word, None),
            Self::Explicit([[top, bottom], [left, right]]) => {
                let edges = [0, 0, top, bottom, left, right, 0, 0].map(|size| size as i64);
                ("EXPLICIT", Some(edges))
            }
        }
    }
}

/// The kind of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Over all channels.
    Full,
    /// Depthwise: of each channel by itself.
    Depthwise,
}

impl Ops {
    /// Adds the fused operation.
    pub(crate) fn fused(&mut self, fused: &Fused<'_>, input: &Output) -> Result<Output, Fault> {
        let data_type = match self.convolutions {
            Convolutions::PlainBfloat16 => return self.unfused(fused, input, DataType::BFloat16),
            Convolutions::FusedBfloat16 => DataType::BFloat16,
            Convolutions::Fused | Convolutions::Plain => DataType::Float,
        };
        let input = self.cast(input, data_type)?;
        let kernel = if fused.kernel.values.len() < WORTH_A_VARIABLE {
            self.constant_of(&fused.kernel.shape, &fused.kernel.values, data_type)?
        } else {
            self.variable(fused.kernel, data_type)?
        };
        let mut arguments = vec![self.constant_of(&[fused.bias.len()], fused.bias, data_type)?];
        if let Some(addend) = fused.addend {
            arguments.push(self.cast(addend, data_type)?);
        }
        let kind = match fused.kind {
            Kind::Full => "_MklNativeFusedConv2D",
            Kind::Depthwise => "_MklNativeFusedDepthwiseConv2dNative",
        };
        let name = self.next_name("Fused");
        let mut description = self.graph.new_operation(kind, &name)?;
        description.add_input(input);
        description.add_input(kernel);
        description.add_input_list(&arguments);
        description.set_attr_type("T", data_type)?;
        description.set_attr_int("num_args", arguments.len() as i64)?;
        if fused.kind == Kind::Full {
            // There are no arguments in host memory.
            description.add_input_list(&[]);
            description.set_attr_int("num_host_args", 0)?;
            description.set_attr_type_list("TArgs", &vec![data_type; arguments.len()])?;
        }
        description.set_attr_int_list("strides", &fused.strides)?;
        let (padding, edges) = fused.padding.attributes();
        description.set_attr_string("padding", padding)?;
        if let Some(edges) = edges {
            description.set_attr_int_list("explicit_paddings", &edges)?;
        }
        description.set_attr_string_list("fused_ops", fused.fused_ops)?;
        // oneDNN keeps the reordered kernel.
        description.set_attr_bool("is_filter_const", true)?;
        // The label under which oneDNN's kernels for ordinary tensors are registered.
        description.set_attr_string("_kernel", "MklNameChangeOp")?;
        let output = description.finish()?.into();
        self.check_size("convolution", &output)?;
        Ok(output)
    }

    /// Adds the unfused operations, which every build of TensorFlow has.
    fn unfused(&mut self, fused: &Fused<'_>, input: &Output, data_type: DataType) -> Result<Output, Fault> {
        let input = self.cast(input, data_type)?;
        let kernel = self.constant_of(&fused.kernel.shape, &fused.kernel.values, data_type)?;
        let kind = match fused.kind {
            Kind::Full => "Conv2D",
            Kind::Depthwise => "DepthwiseConv2dNative",
        };
        let (padding, edges) = fused.padding.attributes();
        let mut attributes =
            vec![("strides", Attribute::Integers(&fused.strides)), ("padding", Attribute::Text(padding))];
        attributes.extend(edges.as_ref().map(|edges| ("explicit_paddings", Attribute::Integers(edges))));
        let output = self.op(kind, &[&input, &kernel], &attributes)?;
        self.followers(fused, output, data_type)
    }

    /// Adds the operations that follow a convolution.
    pub(super) fn followers(
        &mut self,
        fused: &Fused<'_>,
        mut output: Output,
        data_type: DataType,
    ) -> Result<Output, Fault> {
        for operation in fused.fused_ops {
            output = match *operation {
                "BiasAdd" => {
                    let bias = self.constant_of(&[fused.bias.len()], fused.bias, data_type)?;
                    self.binary("BiasAdd", &output, &bias)?
                }
                "Add" => {
                    let addend = fused.addend.ok_or_else(|| Fault("it has nothing to add".to_owned()))?;
                    let addend = self.cast(addend, data_type)?;
                    self.binary("AddV2", &output, &addend)?
                }
                relu => self.unary(relu, &output)?,
            };
        }
        Ok(output)
    }

    fn constant_of(&mut self, shape: &[usize], values: &[f32], data_type: DataType) -> Result<Output, Fault> {
        if data_type == DataType::BFloat16 {
            self.typed_constant(shape, &rounded(values))
        } else {
            self.constant(shape, values)
        }
    }
}
