//! `MaxPooling2D`, `AveragePooling2D`, their global and adaptive forms, and their 1D forms.

use crate::layers::{Layer, Pool2d, PoolKind, sequence};
use crate::reader::Reader;

/// Most windows per axis of an adaptive pooling.
const MAX_WINDOWS: usize = 1 << 16;

/// [`Layer::AdaptivePool2d`]: on an axis of `n` pixels the window `i` of `size` begins at `floor(i * n / size)` and
/// ends before `ceil((i + 1) * n / size)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdaptivePool2d {
    /// Mean or maximum.
    pub kind: PoolKind,
    /// Height and width of the output.
    pub size: [usize; 2],
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

pub(super) fn adaptive_pooling<const AXES: usize>(reader: &mut Reader, kind: PoolKind) -> Layer {
    reader.data_format();
    let size = reader.sizes::<AXES>("output_size");
    if let Some(most) = size.into_iter().find(|size| *size > MAX_WINDOWS) {
        reader.fault(format!("`output_size` has {most}, expected at most {MAX_WINDOWS}"));
    }
    sequence::layer::<AXES>(Layer::AdaptivePool2d(AdaptivePool2d {
        kind,
        size: sequence::for_image(size, 1),
    }))
}
