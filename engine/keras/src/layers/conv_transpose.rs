//! `Conv2DTranspose` and `Conv1DTranspose`.

use model::{Builder, ConvolutionTranspose, Fault, Value};
use serde_json::Value as Json;

use super::windows::{Moves, Padding};
use crate::Tensor;
use crate::json::shown;
use crate::layers::{Activation, Layer, convolution, sequence};
use crate::reader::Reader;
use crate::shapes::Sizes;

/// [`Layer::ConvTranspose2d`]: the gradient of a convolution with respect to its input. That convolution has this kernel
/// and maps an image of this layer's output size to one of its input size.
#[derive(Debug, Clone)]
pub struct ConvTranspose2d {
    /// `[height, width, channels out, channels in]`.
    pub kernel: Tensor,
    /// `[channels out]`.
    pub bias: Option<Tensor>,
    /// Vertical, horizontal.
    pub strides: [usize; 2],
    /// Vertical, horizontal.
    pub dilation: [usize; 2],
    /// Padding at the edges of the output.
    pub padding: Padding,
    /// Rows and columns added to the smallest output that fits the input's size. `None` adds as many as the strides and
    /// the kernel leave room for.
    pub output_padding: Option<[usize; 2]>,
    /// Applied to the result.
    pub activation: Activation,
}

impl ConvTranspose2d {
    /// The output's size on an axis, 0 vertical and 1 horizontal, from the input's. Fails where there is no such output.
    fn output_size(&self, axis: usize, input: usize) -> Result<usize, Fault> {
        let (size, stride) = (self.kernel.shape[axis], self.strides[axis]);
        let reach = size.saturating_sub(1).saturating_mul(self.dilation[axis]).saturating_add(1);
        let moved = |pixels: usize| pixels.saturating_mul(stride);
        let more = self.output_padding.map(|more| more[axis]);
        let output = match (self.padding, more) {
            (Padding::Same, None) => moved(input),
            (Padding::Same, Some(more)) => moved(input.saturating_sub(1)) + reach % 2 + more,
            (Padding::Valid, None) => moved(input.saturating_sub(1)).saturating_add(reach.max(stride)),
            (Padding::Valid, Some(more)) => moved(input.saturating_sub(1)).saturating_add(reach + more),
        };
        let back = match self.padding {
            Padding::Same => output.div_ceil(stride),
            Padding::Valid => output.saturating_sub(reach) / stride + 1,
        };
        if back != input || output == 0 {
            return Err(Fault(format!(
                "`output_padding` is {:?}, which with its strides gives an output that no input of {input} fits",
                self.output_padding.unwrap_or_default()
            )));
        }
        Ok(output)
    }

    pub(super) fn lower(&self, builder: &mut Builder, x: Value) -> Result<Value, Fault> {
        let [height, width, _] = builder.shape(x).image()?;
        let size = [
            height.try_map(|height| self.output_size(0, height))?,
            width.try_map(|width| self.output_size(1, width))?,
        ];
        let moves = Moves { strides: self.strides, dilation: self.dilation, padding: self.padding };
        let windows = moves.windows(&self.kernel.shape);
        let (kernel, bias) = (self.kernel.clone(), self.bias.clone());
        let convolved =
            builder.convolution_transpose(x, ConvolutionTranspose { kernel, bias, windows, size })?;
        self.activation.lower(builder, convolved)
    }
}

pub(super) fn conv_transpose<const AXES: usize>(reader: &mut Reader) -> Layer {
    let filters = reader.size("filters");
    let size = reader.sizes::<AXES>("kernel_size");
    let channels = reader.channels();
    convolution::only_one_group(reader);
    reader.data_format();
    let shape: Sizes = size.into_iter().map(Some).chain([Some(filters), channels]).collect();
    let kernel = reader.weight(&["kernel"], &shape);
    let output_padding = output_padding::<AXES>(reader);
    sequence::layer::<AXES>(Layer::ConvTranspose2d(ConvTranspose2d {
        kernel: sequence::kernel::<AXES>(kernel),
        bias: reader.flag_or("use_bias", true).then(|| reader.weight(&["bias"], &[Some(filters)])),
        strides: sequence::for_image(reader.sizes_or("strides", [1; AXES]), 1),
        dilation: sequence::for_image(reader.sizes_or("dilation_rate", [1; AXES]), 1),
        padding: reader.padding(),
        output_padding: output_padding.map(|more| sequence::for_image(more, 0)),
        activation: reader.activation(),
    }))
}

/// One number for all axes, or one for each. 0 differs from `None`.
fn output_padding<const AXES: usize>(reader: &mut Reader) -> Option<[usize; AXES]> {
    /// Keras takes nothing as large as a stride.
    const MOST: u64 = 1 << 20;
    let value = reader.value("output_padding")?;
    let number = |value: &Json| usize::try_from(value.as_u64().filter(|&number| number < MOST)?).ok();
    let numbers = match value.as_array() {
        Some(list) => list.iter().map(number).collect::<Option<Vec<usize>>>(),
        None => number(value).map(|all| vec![all; AXES]),
    };
    let numbers = numbers.and_then(|numbers| numbers.try_into().ok());
    if numbers.is_none() {
        reader.fault(format!("`output_padding` is {}, expected a whole number for each axis", shown(value)));
    }
    numbers
}
