//! Matrix products, `einsum`, attention, pooling, and convolutions with constant kernels.

use model::{Builder, Fault, Op, Tensor};
use serde_json::Value;

use super::operand;
use crate::json::shown;
use crate::layers::{
    Activation, Conv2d, DepthwiseConv2d, Layer, Operand, Padding, Pool2d, PoolKind, attention, einsum,
};
use crate::reader::Reader;

/// [`Layer::MatrixProduct`]: a product over the last two axes. The others broadcast.
#[derive(Debug, Clone)]
pub struct MatrixProduct {
    /// First operand.
    pub left: Operand,
    /// Second operand.
    pub right: Operand,
    /// Whether the last two axes of each operand are transposed first.
    pub transposed: [bool; 2],
}

impl MatrixProduct {
    pub(crate) fn lower(
        &self,
        builder: &mut Builder,
        inputs: &[model::Value],
    ) -> Result<model::Value, Fault> {
        let left = self.left.lower(builder, inputs)?;
        let right = self.right.lower(builder, inputs)?;
        builder.add(Op::MatrixProduct { transposed: self.transposed }, &[left, right])
    }
}

/// Reads an operation of this family. Returns `None` for any other.
pub(super) fn operation(class: &str, reader: &mut Reader) -> Option<Layer> {
    Some(match class {
        "tf.linalg.matmul" | "tf.matmul" | "ops.Matmul" => matrix_product(reader),
        "tf.tensordot" | "ops.Tensordot" => {
            let axes = reader.value("axes").filter(|axes| **axes != 1);
            if let Some(axes) = axes {
                reader.fault(format!("`axes` is {}, expected 1", shown(axes)));
            }
            product_with_matrix(reader)
        }
        "ops.Dot" => product_with_matrix(reader),
        "tf.einsum" | "ops.Einsum" => einsum::einsum(reader),
        "ops.DotProductAttention" => attention::dot_product::operation(reader),
        "tf.nn.conv2d" | "tf.compat.v1.nn.conv2d" | "ops.Conv" => conv(reader),
        "tf.nn.depthwise_conv2d" | "tf.compat.v1.nn.depthwise_conv2d" | "ops.DepthwiseConv" => {
            depthwise_conv(reader)
        }
        "tf.nn.avg_pool2d" | "tf.nn.avg_pool" | "ops.AveragePool" => pool(reader, PoolKind::Average),
        "tf.nn.max_pool2d" | "tf.nn.max_pool" | "ops.MaxPool" => pool(reader, PoolKind::Max),
        _ => return None,
    })
}

fn matrix_product(reader: &mut Reader) -> Layer {
    for key in ["adjoint_a", "adjoint_b", "a_is_sparse", "b_is_sparse", "output_type", "grad_a", "grad_b"] {
        reader.unset(key);
    }
    let transposed = [reader.flag_or("transpose_a", false), reader.flag_or("transpose_b", false)];
    let left = reader.argument(0, &["x1", "a"]);
    let right = reader.argument(1, &["x2", "b"]);
    let (left, right) = (operand(reader, left), operand(reader, right));
    Layer::MatrixProduct(MatrixProduct { left, right, transposed })
}

/// Reads `dot` and `tensordot` with a constant matrix, which are matrix products.
fn product_with_matrix(reader: &mut Reader) -> Layer {
    reader.subject();
    let right = reader.argument(1, &["x2", "b"]);
    let right = operand(reader, right);
    if !matches!(&right, Operand::Constant(matrix) if matrix.shape.len() == 2) {
        reader.fault("its second operand is no matrix of numbers, expected one");
    }
    Layer::MatrixProduct(MatrixProduct { left: Operand::Input(0), right, transposed: [false; 2] })
}

fn conv(reader: &mut Reader) -> Layer {
    reader.subject();
    // Which library computes, not what.
    reader.ignore(&["use_cudnn_on_gpu"]);
    let Some(kernel) = kernel(reader) else { return Layer::Identity };
    let groups = match reader.input().and_then(|input| input.last().copied().flatten()) {
        Some(channels) if channels.is_multiple_of(kernel.shape[2]) => channels / kernel.shape[2],
        Some(_) => {
            reader.fault(format!("its kernel has shape {:?}, which its input does not fit", kernel.shape));
            1
        }
        None => 1,
    };
    if !kernel.shape[3].is_multiple_of(groups) {
        reader
            .fault(format!("its kernel has shape {:?}, expected filters for {groups} groups", kernel.shape));
    }
    Layer::Conv2d(Conv2d {
        kernel,
        bias: None,
        strides: over_image(reader, &["strides"]),
        dilation: over_image(reader, &["dilations", "dilation_rate"]),
        padding: padding(reader),
        groups,
        activation: Activation::Linear,
    })
}

fn depthwise_conv(reader: &mut Reader) -> Layer {
    reader.subject();
    let Some(kernel) = kernel(reader) else { return Layer::Identity };
    Layer::DepthwiseConv2d(DepthwiseConv2d {
        kernel,
        bias: None,
        strides: over_image(reader, &["strides"]),
        dilation: over_image(reader, &["rate", "dilations", "dilation_rate"]),
        padding: padding(reader),
        activation: Activation::Linear,
    })
}

fn kernel(reader: &mut Reader) -> Option<Tensor> {
    let value = reader.argument(1, &["filter", "filters", "kernel"]);
    match operand(reader, value) {
        Operand::Constant(kernel) if kernel.shape.len() == 4 => Some(kernel),
        Operand::Constant(_) | Operand::Input(_) => {
            reader.fault("its kernel is not an array of numbers with 4 axes, expected one over an image");
            None
        }
    }
}

fn pool(reader: &mut Reader, kind: PoolKind) -> Layer {
    reader.subject();
    if let Some(input) = reader.input().filter(|input| input.len() != 3) {
        reader.fault(format!("its input has {} axes after the batch, expected an image", input.len()));
    }
    let size = over_image(reader, &["ksize", "pool_size"]);
    // The default stride is the size of the window.
    let strides = reader.value("strides").is_some();
    let strides = if strides { over_image(reader, &["strides"]) } else { size };
    Layer::Pool2d(Pool2d { kind, size, strides, padding: padding(reader) })
}

/// Reads numbers for height and width: one for both, two, or four with 1 for batch and channels.
pub(super) fn over_image(reader: &mut Reader, keys: &[&'static str]) -> [usize; 2] {
    let mut found = None;
    for key in keys {
        found = found.or(reader.value(key).map(|value| (*key, value)));
    }
    let Some((key, value)) = found else { return [1, 1] };
    let size = |value: &Value| {
        value.as_u64().filter(|size| (1..1 << 31).contains(size)).and_then(|size| usize::try_from(size).ok())
    };
    let list: Option<Vec<usize>> = match value.as_array() {
        Some(list) => list.iter().map(size).collect(),
        None => size(value).map(|all| vec![all]),
    };
    match list.as_deref() {
        Some([all]) => [*all; 2],
        Some([height, width] | [1, height, width, 1]) => [*height, *width],
        Some(_) | None => {
            reader.fault(format!("`{key}` is {}, expected numbers for height and width", shown(value)));
            [1, 1]
        }
    }
}

/// Reads `padding` in either version's spelling, and refuses channels first.
pub(super) fn padding(reader: &mut Reader) -> Padding {
    if let Some(format) =
        reader.value("data_format").filter(|format| **format != "NHWC" && **format != "channels_last")
    {
        reader.fault(format!("`data_format` is {}, expected the channels last", shown(format)));
    }
    match reader.value("padding").map(|value| (value, value.as_str().map(str::to_ascii_lowercase))) {
        None => Padding::Valid,
        Some((_, Some(word))) if word == "valid" => Padding::Valid,
        Some((_, Some(word))) if word == "same" => Padding::Same,
        Some((value, _)) => {
            reader.fault(format!("`padding` is {}, expected \"valid\" or \"same\"", shown(value)));
            Padding::Valid
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::lowered::{check, fault};

    fn product(left: Operand, right: Operand, transposed: [bool; 2]) -> MatrixProduct {
        MatrixProduct { left, right, transposed }
    }

    fn matrix(shape: [usize; 2]) -> Operand {
        Operand::Constant(Tensor::new(&shape, vec![0.5; shape[0] * shape[1]]))
    }

    #[test]
    fn operands_are_transposed_in_the_product() {
        let by = product(matrix([3, 2]), Operand::Input(0), [true, true]);
        check(
            &["4, 3"],
            |builder, inputs| by.lower(builder, inputs),
            "
            %0 = input() : [batch, 4, 3]
            %1 = constant(0.5, 0.5, 0.5, 0.5, 0.5, 0.5) : [3, 2]
            %2 = matrix_product(%1, %0, left transposed, right transposed) : [batch, 2, 4]
            outputs %2
            ",
        );
    }

    #[test]
    fn no_product_joins_images() {
        let check = |by: MatrixProduct, inputs: &[&str], shapes: &str| {
            let found = fault(inputs, |builder, inputs| by.lower(builder, inputs));
            assert_eq!(found, format!("its operands have shapes {shapes}, which do not fit"));
        };
        let (one, other) = (|| Operand::Input(0), || Operand::Input(1));
        check(product(one(), other(), [false; 2]), &["4", "4"], "[batch, 4] and [batch, 4]");
        check(product(one(), other(), [true, false]), &["4", "4"], "[4, batch] and [batch, 4]");
        check(product(one(), other(), [false, true]), &["4", "4"], "[batch, 4] and [4, batch]");
        check(product(one(), other(), [false; 2]), &["3, 4", "4"], "[batch, 3, 4] and [batch, 4]");
        check(product(one(), matrix([4, 2]), [true, false]), &["4"], "[4, batch] and [4, 2]");
    }
}
