//! Pooling.

use tensorflow::Output;

use super::{over_image, padding};
use crate::ops::{Attribute, Fault, Ops};
use keras::layers::{Pool2d, PoolKind};

pub(super) mod adaptive;

/// TensorFlow's average, like Keras's, excludes the padding.
pub(super) fn pool2d(ops: &mut Ops, pool: &Pool2d, input: &Output) -> Result<Output, Fault> {
    let kind = match pool.kind {
        PoolKind::Average => "AvgPool",
        PoolKind::Max => "MaxPool",
    };
    ops.op(
        kind,
        &[input],
        &[
            ("ksize", Attribute::Integers(&over_image(pool.size))),
            ("strides", Attribute::Integers(&over_image(pool.strides))),
            ("padding", Attribute::Text(padding(pool.padding))),
        ],
    )
}

pub(super) fn global_pool2d(
    ops: &mut Ops,
    kind: PoolKind,
    keep_dims: bool,
    input: &Output,
) -> Result<Output, Fault> {
    let kind = match kind {
        PoolKind::Average => "Mean",
        PoolKind::Max => "Max",
    };
    let axes = ops.integers(&[2], &[1, 2])?;
    ops.op(kind, &[input, &axes], &[("keep_dims", Attribute::Bool(keep_dims))])
}
