//! Layers with several inputs: `Concatenate` and `Dot`. `Add` and the other merging layers have no settings.

use crate::architecture::Dialect;
use crate::layers::Layer;
use crate::reader::Reader;

/// [`Layer::Dot`]: the dot product of two inputs over an axis of each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dot {
    /// The axis of each, counted with the batch; may be negative.
    pub axes: [i64; 2],
    /// Where the inputs are first normalized to length one along these axes: the lower bound of the sum of squares.
    pub epsilon: Option<f32>,
}

pub(super) fn concatenate(reader: &mut Reader) -> Layer {
    Layer::Concatenate { axis: reader.integer_or("axis", -1) }
}

pub(super) fn dot(reader: &mut Reader) -> Layer {
    let axes = match reader.integers("axes").as_deref() {
        Some([both]) => [*both; 2],
        Some([first, second]) => [*first, *second],
        Some(_) | None => {
            reader.fault("its config has no `axes` of one or two whole numbers");
            [-1; 2]
        }
    };
    let epsilon = match reader.dialect {
        Dialect::Keras2 => 1e-12,
        // Keras 3 bounds the length, by 1e-7, instead of its square.
        Dialect::Keras3 => 1e-14,
    };
    Layer::Dot(Dot { axes, epsilon: reader.flag_or("normalize", false).then_some(epsilon) })
}
