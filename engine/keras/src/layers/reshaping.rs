//! Layers that keep every value and change the shape: `Flatten`, `Reshape`, `Permute`, `RepeatVector`.

use crate::layers::{Interpolation, Layer};
use crate::reader::Reader;
use crate::shapes::describe;

pub(super) fn flatten(reader: &mut Reader) -> Layer {
    reader.data_format();
    Layer::Flatten
}

pub(super) fn reshape(reader: &mut Reader) -> Layer {
    let target = reader.integers("target_shape");
    if target.is_none() {
        reader.fault("its config has no `target_shape` of whole numbers");
    }
    Layer::Reshape { target: target.unwrap_or_default() }
}

pub(super) fn permute(reader: &mut Reader) -> Layer {
    let axes: Option<Vec<usize>> = reader
        .integers("dims")
        .and_then(|axes| axes.into_iter().map(|axis| usize::try_from(axis).ok()).collect());
    if axes.is_none() {
        reader.fault("its config has no `dims` of positive whole numbers");
    }
    Layer::Permute { axes: axes.unwrap_or_default() }
}

/// Repeats a vector along a new sequence axis.
pub(super) fn repeat_vector(reader: &mut Reader) -> Layer {
    let count = reader.size("n");
    if let Some(input) = reader.input().filter(|input| input.len() != 1) {
        reader.fault(format!("its input has shape {}, expected [channels]", describe(input)));
    }
    let repeat = Layer::UpSampling2d { factors: [1, count], interpolation: Interpolation::Nearest };
    Layer::Sequential(vec![Layer::Reshape { target: vec![1, -1] }, Layer::OverSequence(Box::new(repeat))])
}
