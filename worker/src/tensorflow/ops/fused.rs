//! Convolution, bias and rectifier in one operation, the form that TensorFlow's optimizer makes of three.
//!
//! These operations are TensorFlow's own affair: they have no documentation, and a build without oneDNN has
//! no kernels for them. What is gained: their kernel may be a variable and still be known not to change, so
//! that it is brought into the processor's favourite order once. TensorFlow keeps about five copies of a
//! constant and one of a variable. Whether they are there and right is tried when the library is opened.

use tensorflow::{DataType, Output};

use super::{Fault, Ops};
use crate::keras::Tensor;

/// Elements from which a kernel is a variable: 64 KiB. Reading one takes an operation in every run.
const WORTH_A_VARIABLE: usize = 16 << 10;

/// One such operation.
pub(in crate::tensorflow) struct Fused<'a> {
    pub(in crate::tensorflow) kind: Kind,
    pub(in crate::tensorflow) kernel: &'a Tensor,
    /// As many values as there are output channels.
    pub(in crate::tensorflow) bias: &'a [f32],
    /// TensorFlow's words for what follows the convolution: `BiasAdd`, then `Relu` or `Relu6`.
    pub(in crate::tensorflow) steps: &'a [&'a str],
    pub(in crate::tensorflow) strides: [i64; 4],
    /// TensorFlow's word for it.
    pub(in crate::tensorflow) padding: &'static str,
}

/// Which convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tensorflow) enum Kind {
    /// Over all channels.
    Full,
    /// Of each channel by itself.
    Depthwise,
}

impl Ops {
    /// Adds the operation over an image.
    pub(in crate::tensorflow) fn fused(
        &mut self,
        fused: &Fused<'_>,
        input: &Output,
    ) -> Result<Output, Fault> {
        let kernel = if fused.kernel.values.len() < WORTH_A_VARIABLE {
            self.weights(fused.kernel)?
        } else {
            self.variable(fused.kernel)?
        };
        let bias = self.constant(&[fused.bias.len()], fused.bias)?;
        let kind = match fused.kind {
            Kind::Full => "_MklNativeFusedConv2D",
            Kind::Depthwise => "_MklNativeFusedDepthwiseConv2dNative",
        };
        let name = self.next_name("Fused");
        let mut description = self.graph.new_operation(kind, &name)?;
        description.add_input(input.clone());
        description.add_input(kernel);
        description.add_input_list(&[bias]);
        description.set_attr_type("T", DataType::Float)?;
        description.set_attr_int("num_args", 1)?;
        if fused.kind == Kind::Full {
            // Arguments in the memory of the host, of which there are none.
            description.add_input_list(&[]);
            description.set_attr_int("num_host_args", 0)?;
            description.set_attr_type_list("TArgs", &[DataType::Float])?;
        }
        description.set_attr_int_list("strides", &fused.strides)?;
        description.set_attr_string("padding", fused.padding)?;
        description.set_attr_string_list("fused_ops", fused.steps)?;
        // What was brought into order is kept.
        description.set_attr_bool("is_filter_const", true)?;
        // The label under which oneDNN's kernels for ordinary tensors are registered.
        description.set_attr_string("_kernel", "MklNameChangeOp")?;
        let output = description.finish()?.into();
        self.check_size("convolution", &output)?;
        Ok(output)
    }
}
