//! A 1D layer, over `[batch, sequence, channels]`, is computed by the 2D layer over an image of one row.

use crate::Tensor;
use crate::layers::{Edges, Layer};

/// The numbers for height and width. A 1D layer has one for its sequence, and `of_one_row` stands for the height.
pub(super) fn for_image<const AXES: usize>(numbers: [usize; AXES], of_one_row: usize) -> [usize; 2] {
    match numbers[..] {
        [vertical, horizontal] => [vertical, horizontal],
        [horizontal] => [of_one_row, horizontal],
        _ => [of_one_row; 2],
    }
}

/// The kernel of the 2D layer.
pub(super) fn kernel<const AXES: usize>(kernel: Tensor) -> Tensor {
    let Tensor { mut shape, values } = kernel;
    if AXES == 1 {
        shape.insert(0, 1);
    }
    Tensor { shape, values }
}

/// The layer itself, or for a 1D layer the 2D layer over an image of one row.
pub(super) fn layer<const AXES: usize>(layer: Layer) -> Layer {
    if AXES == 1 { Layer::OverSequence(Box::new(layer)) } else { layer }
}

/// The layer with zeros before the first position.
pub(super) fn after_zeros(zeros: usize, layer: Layer) -> Layer {
    let edges = Edges { top: 0, bottom: 0, left: zeros, right: 0 };
    Layer::Sequential(vec![Layer::ZeroPadding2d(edges), layer])
}
