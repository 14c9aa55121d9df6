//! The fully connected layer.

use tensorflow::Output;

use super::convolution::finish;
use super::expect_last_axis;
use crate::ops::{Fault, Ops};
use keras::layers::Dense;

pub(super) fn dense(ops: &mut Ops, dense: &Dense, input: &Output) -> Result<Output, Fault> {
    let [inputs, _] = dense.kernel.shape[..] else {
        return Err(Fault(format!("its kernel has shape {:?}, expected 2 axes", dense.kernel.shape)));
    };
    expect_last_axis(ops, input, inputs)?;
    let kernel = ops.matrix(&dense.kernel)?;
    // `MatMul` fuses with bias and activation. The batched product broadcasts the kernel over all but the last two axes.
    let product = match ops.sizes(input)?.len() {
        2 => "MatMul",
        3.. => "BatchMatMulV2",
        rank => return Err(Fault(format!("its input has {rank} axes, expected at least 2"))),
    };
    let output = ops.binary(product, input, &kernel)?;
    finish(ops, output, dense.bias.as_ref(), dense.activation)
}
