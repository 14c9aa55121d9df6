//! `MaxPooling2D`, `AveragePooling2D`, their global and adaptive forms, and their 1D forms.

use model::{Builder, Fault, PoolKind, Reduction, Value};

use super::windows::{Moves, Padding};
use crate::layers::{Layer, sequence};
use crate::reader::Reader;

pub(super) mod adaptive;

/// [`Layer::Pool2d`].
#[derive(Debug, Clone)]
pub struct Pool2d {
    /// Mean or maximum. The mean counts no padding.
    pub kind: PoolKind,
    /// Height and width of the window.
    pub size: [usize; 2],
    /// Vertical, horizontal.
    pub strides: [usize; 2],
    /// Padding at the edges.
    pub padding: Padding,
}

pub(super) fn pooling<const AXES: usize>(reader: &mut Reader, kind: PoolKind) -> Layer {
    let size = reader.sizes_or::<AXES>("pool_size", [2; AXES]);
    let strides = reader.sizes_or("strides", size);
    reader.data_format();
    sequence::layer::<AXES>(Layer::Pool2d(Pool2d {
        kind,
        size: sequence::for_image(size, 1),
        strides: sequence::for_image(strides, 1),
        padding: reader.padding(),
    }))
}

pub(super) fn global_pooling<const AXES: usize>(reader: &mut Reader, kind: PoolKind) -> Layer {
    reader.data_format();
    let keep_dims = reader.flag_or("keepdims", false);
    if AXES == 2 {
        return Layer::GlobalPool2d { kind, keep_dims };
    }
    // `Flatten` drops the one position that is left: the 2D layer has to give an image of one row.
    let pooled = sequence::layer::<AXES>(Layer::GlobalPool2d { kind, keep_dims: true });
    if keep_dims { pooled } else { Layer::Sequential(vec![pooled, Layer::Flatten]) }
}

impl Pool2d {
    pub(super) fn lower(&self, builder: &mut Builder, x: Value) -> Result<Value, Fault> {
        let moves = Moves { strides: self.strides, dilation: [1, 1], padding: self.padding };
        builder.pool(x, self.kind, moves.windows(&self.size))
    }
}

/// Mean or maximum of all pixels.
pub(super) fn of_whole_image(
    kind: PoolKind,
    keep_dims: bool,
    builder: &mut Builder,
    x: Value,
) -> Result<Value, Fault> {
    builder.shape(x).image()?;
    let kind = match kind {
        PoolKind::Average => Reduction::Mean,
        PoolKind::Max => Reduction::Max,
    };
    if keep_dims { builder.reduce_kept(kind, x, &[1, 2]) } else { builder.reduce_dropped(kind, x, &[1, 2]) }
}
