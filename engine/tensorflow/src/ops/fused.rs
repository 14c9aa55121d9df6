//! Convolution, bias and rectifier in one operation, the form that TensorFlow's optimizer makes of three.
//!
//! These operations are TensorFlow's own affair: they have no documentation, and a build without oneDNN has
//! no kernels for them. What is gained: their kernel may be a variable and still be known not to change, so
//! that it is brought into the processor's favourite order once. TensorFlow keeps about five copies of a
//! constant and one of a variable. Whether they are there and right is tried when the library is opened.

use tensorflow::{DataType, Output};

use super::{Attribute, Fault, Ops, rounded};
use crate::library::Convolutions;
use keras::Tensor;
use keras::layers::Edges;

/// Elements from which a kernel is a variable: 64 KiB. Reading one takes an operation in every run.
const WORTH_A_VARIABLE: usize = 16 << 10;

/// One such operation.
pub(crate) struct Fused<'a> {
    pub(crate) kind: Kind,
    pub(crate) kernel: &'a Tensor,
    /// As many values as there are output channels.
    pub(crate) bias: &'a [f32],
    /// What is added then, of the result's shape.
    pub(crate) addend: Option<&'a Output>,
    /// TensorFlow's words for what follows the convolution: `BiasAdd`, `Add` where there is an addend, then `Relu`
    /// or `Relu6`.
    pub(crate) steps: &'a [&'a str],
    pub(crate) strides: [i64; 4],
    pub(crate) padding: Zeros,
}

/// Zeros around the image, of which the operation only pretends that they are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zeros {
    /// TensorFlow's word for how many.
    Usual(&'static str),
    /// So many; only a [`Kind::Full`] knows that.
    Exactly(Edges),
}

impl Zeros {
    /// TensorFlow's word, and before and behind each axis how many where it does not say.
    fn words(self) -> (&'static str, Option<[i64; 8]>) {
        match self {
            Self::Usual(word) => (word, None),
            Self::Exactly(Edges { top, bottom, left, right }) => {
                let edges = [0, 0, top, bottom, left, right, 0, 0].map(|size| size as i64);
                ("EXPLICIT", Some(edges))
            }
        }
    }
}

/// Which convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Over all channels.
    Full,
    /// Of each channel by itself.
    Depthwise,
}

impl Ops {
    /// Adds the operation over an image.
    pub(crate) fn fused(&mut self, fused: &Fused<'_>, input: &Output) -> Result<Output, Fault> {
        let data_type = match self.convolutions {
            Convolutions::PlainBfloat16 => return self.one_by_one(fused, input, DataType::BFloat16),
            Convolutions::FusedBfloat16 => DataType::BFloat16,
            Convolutions::Fused | Convolutions::Plain => DataType::Float,
        };
        let input = self.cast(input, data_type)?;
        if let Some(tiles) = self.tile(fused, &input)? {
            self.tiled = true;
            return self.fused_in_tiles(fused, tiles, &input);
        }
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
            // Arguments in the memory of the host, of which there are none.
            description.add_input_list(&[]);
            description.set_attr_int("num_host_args", 0)?;
            description.set_attr_type_list("TArgs", &vec![data_type; arguments.len()])?;
        }
        description.set_attr_int_list("strides", &fused.strides)?;
        let (padding, edges) = fused.padding.words();
        description.set_attr_string("padding", padding)?;
        if let Some(edges) = edges {
            description.set_attr_int_list("explicit_paddings", &edges)?;
        }
        description.set_attr_string_list("fused_ops", fused.steps)?;
        // What was brought into order is kept.
        description.set_attr_bool("is_filter_const", true)?;
        // The label under which oneDNN's kernels for ordinary tensors are registered.
        description.set_attr_string("_kernel", "MklNameChangeOp")?;
        let output = description.finish()?.into();
        self.check_size("convolution", &output)?;
        Ok(output)
    }

    /// Adds an operation for each step, the way that every TensorFlow knows.
    fn one_by_one(
        &mut self,
        fused: &Fused<'_>,
        input: &Output,
        data_type: DataType,
    ) -> Result<Output, Fault> {
        let input = self.cast(input, data_type)?;
        let kernel = self.constant_of(&fused.kernel.shape, &fused.kernel.values, data_type)?;
        let kind = match fused.kind {
            Kind::Full => "Conv2D",
            Kind::Depthwise => "DepthwiseConv2dNative",
        };
        let (padding, edges) = fused.padding.words();
        let mut attributes =
            vec![("strides", Attribute::Integers(&fused.strides)), ("padding", Attribute::Text(padding))];
        attributes.extend(edges.as_ref().map(|edges| ("explicit_paddings", Attribute::Integers(edges))));
        let output = self.op(kind, &[&input, &kernel], &attributes)?;
        self.steps(fused, output, data_type)
    }

    /// Adds what follows a convolution.
    pub(super) fn steps(
        &mut self,
        fused: &Fused<'_>,
        mut output: Output,
        data_type: DataType,
    ) -> Result<Output, Fault> {
        for step in fused.steps {
            output = match *step {
                "BiasAdd" => {
                    let bias = self.constant_of(&[fused.bias.len()], fused.bias, data_type)?;
                    self.binary("BiasAdd", &output, &bias)?
                }
                "Add" => {
                    let addend = fused.addend.ok_or_else(|| Fault("it has nothing to add".to_owned()))?;
                    let addend = self.cast(addend, data_type)?;
                    self.binary("AddV2", &output, &addend)?
                }
                rectifier => self.unary(rectifier, &output)?,
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
