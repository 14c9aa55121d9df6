//! `MaxPooling2D`, `AveragePooling2D` and their global forms.

use crate::keras::layers::{Layer, Pool2d, PoolKind};
use crate::keras::reader::Reader;

pub(super) fn pooling(reader: &mut Reader, kind: PoolKind) -> Layer {
    let size = reader.pair_or("pool_size", [2, 2]);
    reader.data_format();
    Layer::Pool2d(Pool2d { kind, size, strides: reader.pair_or("strides", size), padding: reader.padding() })
}

pub(super) fn global_pooling(reader: &mut Reader, kind: PoolKind) -> Layer {
    reader.data_format();
    Layer::GlobalPool2d { kind, keep_dims: reader.flag_or("keepdims", false) }
}
