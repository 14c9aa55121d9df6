//! Convolutions with a kernel of its own at each position.

use tensorflow::Output;

use super::activation::activation;
use super::{fixed_image, over_image};
use crate::ops::{Attribute, Fault, Ops, to_i32};
use keras::layers::{Edges, LocallyConnected2d};

/// Extracts a patch for each output position, and multiplies each by a kernel of its own.
pub(super) fn locally_connected2d(
    ops: &mut Ops,
    layer: &LocallyConnected2d,
    input: &Output,
) -> Result<Output, Fault> {
    let [positions, pixels, filters] = layer.kernel.shape[..] else {
        return Err(Fault(format!("its kernel has shape {:?}, expected 3 axes", layer.kernel.shape)));
    };
    let image = fixed_image(ops, input)?;
    if image != layer.input {
        return Err(Fault(format!("its input is {image:?}, its weights are for {:?}", layer.input)));
    }
    // Padding up to the end of the last window.
    let after = |axis: usize| {
        let end = (layer.output[axis] - 1) * layer.strides[axis] + layer.size[axis];
        end.saturating_sub(layer.before[axis] + image[axis])
    };
    let [top, left] = layer.before;
    let edges = Edges { top, bottom: after(0), left, right: after(1) };
    let padded = if edges == Edges::default() { input.clone() } else { ops.pad(input, edges)? };
    let patches = ops.op(
        "ExtractImagePatches",
        &[&padded],
        &[
            ("ksizes", Attribute::Integers(&over_image(layer.size))),
            ("strides", Attribute::Integers(&over_image(layer.strides))),
            ("rates", Attribute::Integers(&over_image([1, 1]))),
            ("padding", Attribute::Text("VALID")),
        ],
    )?;
    let patches = ops.reshape(&patches, &[to_i32(positions)?, to_i32(pixels)?])?;
    let positions_first = ops.integers(&[3], &[1, 0, 2])?;
    let patches = ops.binary("Transpose", &patches, &positions_first)?;
    let kernel = ops.matrix(&layer.kernel)?;
    let products = ops.binary("BatchMatMulV2", &patches, &kernel)?;
    let products = ops.binary("Transpose", &products, &positions_first)?;
    let [rows, columns] = layer.output;
    let mut output = ops.reshape(&products, &[to_i32(rows)?, to_i32(columns)?, to_i32(filters)?])?;
    if let Some(bias) = &layer.bias {
        let bias = ops.weights(bias)?;
        output = ops.binary("AddV2", &output, &bias)?;
    }
    activation(ops, layer.activation, &output)
}
